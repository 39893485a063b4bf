"""Likely wrong labels: what the flags are worth where the wrong ones are known.

    python -m benchmarks.evidence.labels [--seeds 3]

Five in a hundred labels are changed to another one, drawn by the seed. The linear baseline answers
every row without having seen it or a near-duplicate of it, and `feilun data audit` flags what
contradicts it. A flag is right where it hits a changed label; wrong labels that the data had before
count against it. The first row of each data set has nothing changed: what is flagged there was in
it.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from feilun.data.audit import suspects
from feilun.data.near import groups
from feilun.demo.tasks import text_classification as reviews
from feilun.tasks.base import get
from feilun.training import folds
from feilun.training.out_of_fold import deal
from feilun.types import Item

SHARE = 0.05
FIRST = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    print(f"{SHARE:.0%} of the labels changed, means of {seeds} seeds; five folds by group.\n")
    print(
        "| data | rows | labels | changed | baseline accuracy | flagged | precision | recall | "
        f"right of the first {FIRST} |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, task, items, labels in _sets():
        print(f"-- {name}", file=sys.stderr, flush=True)
        _table(name, task, items, labels, seeds)


def _sets() -> list[tuple[str, str, list[Item], np.ndarray]]:
    english, chinese = (_reviews(lang) for lang in ("en", "zh"))
    return [
        ("English reviews", "text-classification", *english),
        ("Chinese reviews", "text-classification", *chinese),
        ("digits", "image-classification", *_digits()),
    ]


def _reviews(lang: str) -> tuple[list[Item], np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        files = reviews.files(Path(folder), lang)
        rows = []
        for file in (files.training, files.testing):
            with file.open(encoding="utf-8", newline="") as stream:
                rows += [(row[files.text], row[files.label]) for row in csv.DictReader(stream)]
    names = sorted({label for _, label in rows})
    return [text for text, _ in rows], np.array([names.index(label) for _, label in rows])


def _digits() -> tuple[list[Item], np.ndarray]:
    from PIL import Image
    from sklearn.datasets import load_digits

    data = load_digits()
    items: list[Item] = []
    for picture in data.images:
        written = io.BytesIO()
        Image.fromarray((picture * 15).astype(np.uint8)).save(written, "PNG")
        items.append(written.getvalue())
    return items, data.target


def _table(name: str, task: str, items: Sequence[Item], truth: np.ndarray, seeds: int) -> None:
    count = int(truth.max()) + 1
    matrix = folds.matrix_of(get(task).features({}), items)
    text = task.startswith("text")
    group = groups([str(item) for item in items]) if text else np.arange(len(items))
    found = [_once(matrix, truth, truth, count, group)]
    for seed in range(seeds):
        found.append(_once(matrix, truth, _changed(truth, count, seed), count, group))
        print(f"   seed {seed}: {found[-1]}", file=sys.stderr, flush=True)
    size = f"| {name} | {len(truth):,} | {count} |"
    accuracy, flagged, *_ = found[0]
    print(f"{size} 0 | {accuracy:.3f} | {flagged:.0f} | – | – | – |")
    accuracy, flagged, precision, recall, first = np.mean(found[1:], axis=0)
    print(
        f"{size} {round(SHARE * len(truth)):,} | {accuracy:.3f} | {flagged:.0f} | "
        f"{precision:.2f} | {recall:.2f} | {first:.2f} |",
        flush=True,
    )


def _changed(truth: np.ndarray, count: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(truth))[: round(SHARE * len(truth))]
    given = truth.copy()
    given[rows] = (given[rows] + draw.integers(1, count, len(rows))) % count
    return given


def _once(
    matrix: folds.Matrix, truth: np.ndarray, given: np.ndarray, count: int, group: np.ndarray
) -> tuple[float, ...]:
    """Accuracy on the true labels; flags; their precision and recall; of the first ones."""
    strength = folds.strength_for(matrix, given, count)
    fold = deal(given, group, folds.FOLDS)
    probabilities = folds.out_of_fold(matrix, given, count, fold, strength)
    rows = suspects.find(given, probabilities).rows
    wrong = given != truth
    accuracy = float((probabilities.argmax(axis=1) == truth).mean())
    right = wrong[rows]
    return (
        accuracy,
        float(len(rows)),
        float(right.mean()) if len(rows) else 0.0,
        float(right.sum() / max(1, wrong.sum())),
        float(right[:FIRST].mean()) if len(rows) else 0.0,
    )


if __name__ == "__main__":
    main()
