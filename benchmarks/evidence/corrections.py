"""Corrections: how many old rows an update of a fine-tuned model needs beside them.

    python -m benchmarks.evidence.corrections [--seeds N] [--languages en,zh] [--arms NAME,...]

Reviews of the demonstration: a fine-tuned model knows rows of the old kind alone; then customers
ask of the new kind, too: in English what holds words of complaint, in Chinese what is about books.
What it answers wrong comes back corrected, so that all new rows are ones that it has wrong. Updates
differ in how many old rows they learn beside each correction and in their step size; the mean of
their weights and those of before is measured as well. Rows that nobody has seen, of both kinds,
judge.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmarks.evidence.replay import TASK, Rows, right, train, write

from feilun.demo.tasks import text_classification as reviews
from feilun.metrics.intervals import wilson
from feilun.tasks import base as tasks
from feilun.training.methods.soup import write_mean
from feilun.types import Split

KNOWN, HELD, ASKED, JUDGING = 2000, 200, 400, 300
LENGTH = 96  # tokens
MEAN = ", averaged"
_NEW = {
    "en": re.compile(
        r"\b(bad|disappoint\w*|terribl\w*|awful|horribl\w*|worst|waste\w*|return\w*|refund\w*|"
        r"threw|throw|stale|broken?)\b",
        re.I,
    ),
    "zh": re.compile("书|作者|阅读|小说|故事|情节"),
}
ARMS = {
    "1 old row": (1.0, 0.5),
    "6 old rows": (6.0, 0.5),
    "6 old rows, half the step": (6.0, 0.25),
    "12 old rows, half the step": (12.0, 0.25),
    "from the base": (0.0, 0.0),
}
"""Old rows for each correction, and the step size as a share of a first training's."""


def load(lang: str) -> tuple[Rows, Rows]:
    """Rows of the old and of the new kind."""
    head, parts, roles = reviews.rows(lang)
    text, label = head.index(roles["text"]), head.index(roles["label"])
    old, new = [], []
    for row in (row for part in parts for row in part):
        (new if _NEW[lang].search(row[text]) else old).append((row[text], row[label]))
    return old, new


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--languages", default="en,zh")
    parser.add_argument("--arms", default=",".join(ARMS).replace(", ", "; "))
    options = parser.parse_args()
    arms = [one.replace("; ", ", ") for one in options.arms.split(",")]
    print("| language | update | right before | right after | gained | on the old kind |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for lang in options.languages.split(","):
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for name in arms:
            found[name] = []
            if ARMS[name][1]:
                found[name + MEAN] = []
        for seed in range(options.first, options.first + options.seeds):
            with tempfile.TemporaryDirectory() as name:
                _seed(Path(name), lang, seed, found)
        for name, pairs in found.items():
            before, after = (np.stack([pair[part] for pair in pairs]) for part in (0, 1))
            print(
                f"| {lang} | {name} | {_share(before)} | {_share(after)} | {_gain(before, after)} "
                f"| {_gain(before[:, :JUDGING], after[:, :JUDGING])} |",
                flush=True,
            )
    return 0


def _seed(
    folder: Path, lang: str, seed: int, found: dict[str, list[tuple[np.ndarray, np.ndarray]]]
) -> None:
    old, new = load(lang)
    draw = np.random.default_rng(seed)
    old = [old[int(row)] for row in draw.permutation(len(old))]
    new = [new[int(row)] for row in draw.permutation(len(new))]
    fresh_kind = min(JUDGING, len(new) // 2)
    judging = [*old[:JUDGING], *new[:fresh_kind]]
    traffic = [*old[JUDGING:][:ASKED], *new[fresh_kind:][:ASKED]]
    held, known = old[JUDGING + ASKED :][:HELD], old[JUDGING + ASKED + HELD :][:KNOWN]
    assert len(known) == KNOWN
    labels = sorted({label for _, label in known})
    parts: dict[Split, Rows] = {"train": known, "validation": held}
    began = time.perf_counter()
    settings = {**tasks.get(TASK).Settings().model_dump(), "max_length": LENGTH}
    begun = write(folder / "a", labels, parts, settings=settings)
    first = train(folder / "base", begun, seed, None, 0.0, None)
    print(f"{lang} {seed}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    version, before = first, right(first, judging)
    wrong = np.flatnonzero(~right(first, traffic))
    fresh = [traffic[int(place)] for place in wrong]
    data = write(folder / "b", labels, parts, fresh, settings)
    for name, answers in found.items():
        if name.endswith(MEAN):
            write_mean([first, version], version)
        else:
            share, rate = ARMS[name]
            going_on = first if rate else None
            steps = {"update_rate": rate or 1.0}
            version = train(folder / name, data, seed, going_on, share, None, **steps)
        after = right(version, judging)
        answers.append((before, after))
        said = f"{lang} {seed}: {len(fresh)} corrections, {name}: {before.mean():.3f} to "
        print(f"{said}{after.mean():.3f}", file=sys.stderr, flush=True)


def _gain(before: np.ndarray, after: np.ndarray) -> str:
    """In points, with an interval over the seeds' means and the rows together."""
    gain = 100 * (after.astype(float) - before).ravel()
    error = 1.96 * gain.std() / len(gain) ** 0.5
    each = ", ".join(
        f"{100 * (b.mean() - a.mean()):+.1f}" for a, b in zip(before, after, strict=True)
    )
    return f"{gain.mean():+.1f} ± {error:.1f} ({each})"


def _share(hits: np.ndarray) -> str:
    score = wilson(int(hits.sum()), hits.size)
    return f"{100 * score.value:.1f} % ({100 * score.low:.1f}–{100 * score.high:.1f})"


if __name__ == "__main__":
    raise SystemExit(main())
