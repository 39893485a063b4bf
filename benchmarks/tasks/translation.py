"""English to Chinese on the sentences of programs, split by program: the memory beside a network.

    python -m benchmarks.tasks.translation [--folder DIR] [--base DIR | --scratch SIZE]

Reads every ``zh_CN`` catalogue (.mo) under ``/usr/share/locale`` and ``--folder``. On Debian these
packages bring some 28,000 pairs: ``apt-get install blender-data inkscape gimp-data gnucash-common
gcc-12-locales``. Names of countries and languages (``iso_*``) are left out. With fewer than 2,000
pairs it takes feilun's own sentences instead, whose rooms stand for programs.

Whole programs, drawn by lot until they have a tenth of the pairs, judge; texts that the other
programs have word for word are told apart. ``--base`` is a folder of T5, BART or the like with a
``tokenizer.json``; ``--scratch mini`` begins from nothing, with a T5 of that size and a tokenizer
of the training rows. Either is taught by ``full``.
"""

from __future__ import annotations

import argparse
import gettext
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun import messages
from feilun.engines.base import open_engine
from feilun.families.generation import TRANSLATION
from feilun.metrics.comparison import scores
from feilun.modalities.language.architectures import SIZES
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import Example, Schema, Split

TASK = "translation"
SYSTEM = Path("/usr/share/locale")
LEAST = 2000
SHARE = 0.1
PACKAGES = "blender-data inkscape gimp-data gnucash-common gcc-12-locales"

Pair = tuple[str, str, str]
"""A program, its text, and the translation."""


def load(folders: Sequence[Path]) -> list[Pair]:
    """Distinct pairs of all catalogues, else of feilun's own sentences."""
    found = list(_unique(pair for folder in folders for pair in _catalogues(folder)))
    if len(found) >= LEAST:
        return found
    print(f"{len(found)} pairs; more with: apt-get install {PACKAGES}", file=sys.stderr)
    print("Taken are feilun's own sentences.", file=sys.stderr)
    return list(_unique(_own()))


def _unique(pairs: Iterator[Pair]) -> Iterator[Pair]:
    seen = set()
    for program, text, said in pairs:
        if (text, said) not in seen:
            seen.add((text, said))
            yield program, text, said


def _catalogues(folder: Path) -> Iterator[Pair]:
    for file in sorted(folder.rglob("zh_CN/LC_MESSAGES/*.mo")):
        if file.name.startswith("iso_"):
            continue
        try:
            with file.open("rb") as stream:
                catalogue = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
        except (OSError, ValueError, UnicodeDecodeError):
            continue  # no catalogue, or a damaged one
        for key, said in catalogue.items():
            text = (key[0] if isinstance(key, tuple) else key).split("\x04")[-1].strip()
            if text and said.strip() and text != said:
                yield file.stem, text, said.strip()


def _own() -> Iterator[Pair]:
    every = messages.keys()
    for key in every:
        words = messages.raw(key)
        yield key.partition(".")[0], words["en"], words["zh"]


def split(pairs: Sequence[Pair], seed: int = 0) -> tuple[list[Pair], list[Pair]]:
    """Training and judging pairs, of different programs."""
    programs = sorted({one[0] for one in pairs})
    np.random.default_rng(seed).shuffle(programs)
    judging: set[str] = set()
    count = 0
    for program in programs:
        size = sum(one[0] == program for one in pairs)
        if count and count + size > 2 * SHARE * len(pairs):
            continue  # of one large program alone
        judging.add(program)
        count += size
        if count >= SHARE * len(pairs):
            break
    train = [one for one in pairs if one[0] not in judging]
    return train, [one for one in pairs if one[0] in judging]


def answers(
    name: str,
    train: Sequence[Pair],
    test: Sequence[Pair],
    folder: Path,
    base: Path | str | None = None,
    epochs: int | None = None,
) -> tuple[np.ndarray, dict[str, float], dict[str, Any]]:
    """Raw answers of a version taught by method `name`, what it cost, its operating point."""
    settings = tasks.get(TASK).Settings().model_dump()
    data, out, spare = folder / "data", folder / "out", folder / "spare"
    out.mkdir(parents=True)
    spare.mkdir()
    held = set(np.random.default_rng(1).choice(len(train), len(train) // 20, replace=False))
    with DatasetWriter(data, {"text": "text"}, TRANSLATION.stratum) as writer:
        for number, (_, text, said) in enumerate(train):
            part: Split = "validation" if number in held else "train"
            writer.add(Example(str(number), text, said, part))
        writer.close(Schema(TASK, (), settings))
    job = TrainJob(name, TASK, data, base, out, spare, task_settings=settings)
    one: Any = method(name)
    settings_of = {} if base is None or epochs is None else {"epochs": epochs}
    result = one.train(job, one.Settings(**settings_of), lambda _: None)
    engine = open_engine(out)
    begin = time.perf_counter()
    raw = engine.raw([text for _, text, _ in test])
    cost = {"seconds": result.figures["seconds"]}
    cost["ms"] = 1000 * (time.perf_counter() - begin) / len(test)
    engine.close()
    return raw, cost, {}


def told(raw: np.ndarray, test: Sequence[Pair]) -> dict[str, Any]:
    """Every metric with its interval; all texts are answered, however unsure."""
    truth = TRANSLATION.truth([said for _, _, said in test], ())
    found = scores(TRANSLATION.measured(truth, raw, (), {}))
    return {
        name: None if one is None else [round(x, 4) for x in (one.value, one.low, one.high)]
        for name, one in found.items()
    }


def table(report: dict[str, Any], names: Sequence[str]) -> str:
    """The report as Markdown."""
    programs = len(report["programs"])
    head = (
        f"{report['train']:,} pairs to learn from; {programs} programs with {report['test']:,} "
        f"other pairs judge, of which {report['new']:,} have a text that no other program has.\n"
    )
    lines = [
        head,
        "| method | pairs | chrF | 95 % interval | BLEU | placeholders kept | 95 % interval | s |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name in names:
        for part, called in (("all", "all"), ("new", "new texts")):
            found = report[name][part]
            cells = [name, called, *_interval(found["chrf"])]
            cells += [_interval(found["bleu"])[0], *_interval(found["placeholders_kept"])]
            lines.append("| " + " | ".join([*cells, f"{report[name]['seconds']:,.0f}"]) + " |")
    return "\n".join(lines)


def _interval(found: Sequence[float] | None) -> tuple[str, str]:
    if found is None:
        return "–", "–"
    value, low, high = found
    return f"{value:.3f}", f"{low:.3f} to {high:.3f}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--folder", type=Path, action="append", default=[])
    parser.add_argument("--base", type=Path)
    parser.add_argument("--scratch", choices=list(SIZES), help="size of a T5 that knows nothing")
    parser.add_argument("--epochs", type=int, help="of the network; by default its own")
    parser.add_argument("--rows", type=int, help="training pairs at most, drawn by lot")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    pairs = load([SYSTEM, *args.folder])
    train, test = split(pairs)
    if args.rows and args.rows < len(train):
        places = np.random.default_rng(0).choice(len(train), args.rows, replace=False)
        train, test = [train[place] for place in places.tolist()], test[: args.rows]
    known = {text for _, text, _ in train}
    new = np.array([text not in known for _, text, _ in test])
    report: dict[str, Any] = {
        "train": len(train), "test": len(test), "new": int(new.sum()),
        "programs": sorted({one[0] for one in test}),
    }  # fmt: skip
    fresh = [one for one, is_new in zip(test, new, strict=True) if is_new]
    with tempfile.TemporaryDirectory() as folder:
        todo: list[tuple[str, Path | str | None]] = [("fuzzy", None)]
        if args.base is not None:
            todo.append(("full", args.base.resolve()))
        elif args.scratch:
            todo.append(("full", f"scratch:t5-{args.scratch}"))
        for name, base in todo:
            raw, cost, _ = answers(name, train, test, Path(folder, name), base, args.epochs)
            report[name] = {"all": told(raw, test), "new": told(raw[new], fresh), **cost}
            print(json.dumps({name: report[name]}), file=sys.stderr, flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, ensure_ascii=False, indent=1), "utf-8")
    print(table(report, [name for name, _ in todo]))


if __name__ == "__main__":
    main()
