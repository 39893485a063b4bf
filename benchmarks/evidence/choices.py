"""Thresholds and answers left to a person: chosen on some rows, judged on others.

    python -m benchmarks.evidence.choices

The linear baseline on 2,000 reviews; its temperature, the threshold for the costs of the two errors
and the cut-off for abstaining are set on 400 (or 100) validation rows and judged on all other rows,
in ten seeded divisions of two data sets.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from feilun.demo.tasks import text_classification as reviews
from feilun.engines.linear import weigh
from feilun.families.classes.calibration import fit_temperature
from feilun.families.classes.rule import best_threshold, cheapest, cutoff_for
from feilun.metrics.intervals import wilson
from feilun.metrics.probabilities import softmax
from feilun.modalities.text.ngrams import NGrams
from feilun.training import logistic

TRAIN, SEEDS = 2000, range(10)
RATIOS = (3.0, 10.0)
FORMS = ("calibrated", "three times too sure")

Threshold = Callable[[np.ndarray, np.ndarray, float], float]


def _empirical(given: np.ndarray, has: np.ndarray, ratio: float) -> float:
    """The threshold that is cheapest on the rows themselves."""
    points = np.unique(np.concatenate(([0.0, 1.0], given)))
    middles = (points[1:] + points[:-1]) / 2
    return float(middles[np.argmin([cost(given, has, each, ratio) for each in middles])])


WAYS: dict[str, Threshold] = {
    "most probable label": lambda given, has, ratio: 0.5,
    "textbook": lambda given, has, ratio: cheapest(ratio, 1.0),
    "cheapest on validation": _empirical,
    "feilun's": lambda given, has, ratio: best_threshold(given, has, ratio, 1.0),
}


def cost(given: np.ndarray, has: np.ndarray, threshold: float, ratio: float) -> float:
    """Of 1,000 answers, a false alarm costing 1."""
    says = given >= threshold
    return float(1000 * (ratio * (has & ~says) + (~has & says)).mean())


def _plainly(sure: np.ndarray, right: np.ndarray, wanted: float) -> float:
    """The lowest cut-off whose point estimate reaches `wanted`."""
    order = np.argsort(-sure)
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(shares >= wanted)
    return float(sure[order[good[-1]]]) if len(good) else 1.0


CUTOFFS: dict[str, Callable[[np.ndarray, np.ndarray, float], float]] = {
    "point estimate": _plainly,
    "feilun's": cutoff_for,
}


def divisions(lang: str, folder: Path, held: int) -> list[tuple[np.ndarray, ...]]:
    """For each seed logits and truth of the validation rows, then of the test rows."""
    files = reviews.files(folder, lang)
    rows: list[tuple[str, str]] = []
    for file in (files.training, files.testing):
        with file.open(encoding="utf-8", newline="") as stream:
            rows += [(row[files.text], row[files.label]) for row in csv.DictReader(stream)]
    names = sorted({label for _, label in rows})
    truth = np.array([names.index(label) for _, label in rows])
    counts = NGrams(18).transform([text for text, _ in rows])
    found = []
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(len(rows))
        train, hold, test = order[:TRAIN], order[TRAIN : TRAIN + held], order[TRAIN + 400 :]
        occurs = np.bincount(counts[train].indices, minlength=counts.shape[1])
        idf = (np.log((1 + TRAIN) / (1 + occurs)) + 1).astype(np.float32)
        rows_of = [weigh(counts[part], idf) for part in (train, hold, test)]
        none = (rows_of[0][:0], truth[:0])
        fitted = logistic.fit(rows_of[0], truth[train], 2, none, strengths=(10.0,))
        logits = [np.asarray(part @ fitted.coef.T + fitted.intercept) for part in rows_of[1:]]
        heat = fit_temperature(logits[0], truth[hold])
        print(f"{lang} {held} seed {seed}", file=sys.stderr)
        found.append((logits[0] / heat, truth[hold], logits[1] / heat, truth[test]))
    return found


def _thresholds(parts: dict[tuple[str, int], list[tuple[np.ndarray, ...]]]) -> None:
    print("Cost of 1,000 answers on the test rows, a false alarm costing 1; mean of the divisions.")
    print()
    print("| reviews | validation rows | probabilities | a missed row costs |", end=" ")
    print(" | ".join([*WAYS, "best on test"]), "|")
    print("|" + " --- |" * (5 + len(WAYS)))
    for (lang, held), found in parts.items():
        for form in FORMS:
            factor = 1.0 if form == FORMS[0] else 3.0
            for ratio in RATIOS:
                sums = np.zeros(len(WAYS) + 1)
                for logits, truth, unseen, answer in found:
                    given, has = softmax(logits * factor)[:, 0], truth == 0
                    other, true = softmax(unseen * factor)[:, 0], answer == 0
                    chosen = [way(given, has, ratio) for way in WAYS.values()]
                    chosen.append(_empirical(other, true, ratio))
                    sums += [cost(other, true, each, ratio) for each in chosen]
                means = " | ".join(f"{each:.0f}" for each in sums / len(found))
                print(f"| {lang} | {held} | {form} | {ratio:.0f} | {means} |")
    print()


def _abstaining(parts: dict[tuple[str, int], list[tuple[np.ndarray, ...]]]) -> None:
    print("Accuracy asked for of what is not left to a person, and reached on the test rows.")
    print()
    print("| reviews | validation rows | asked | cut-off by | answered | right, mean", end=" ")
    print("| worst division | divisions proven below |")
    print("|" + " --- |" * 8)
    for (lang, held), found in parts.items():
        for wanted in (0.9, 0.95):
            for name, way in CUTOFFS.items():
                kept, right, below = [], [], 0
                for logits, truth, unseen, answer in found:
                    given, other = softmax(logits), softmax(unseen)
                    cut = way(given.max(axis=1), given.argmax(axis=1) == truth, wanted)
                    mask = other.max(axis=1) >= cut
                    kept.append(float(mask.mean()))
                    hits = int((other.argmax(axis=1) == answer)[mask].sum())
                    if mask.any():
                        right.append(hits / mask.sum())
                        below += wilson(hits, int(mask.sum())).high < wanted
                print(
                    f"| {lang} | {held} | {wanted:.0%} | {name} | {np.mean(kept):.1%}"
                    f" | {np.mean(right):.1%} | {min(right):.1%} | {below} of {len(found)} |"
                )
    print()


def main() -> None:
    """Prints the tables."""
    parts = {}
    with tempfile.TemporaryDirectory() as folder:
        for lang in ("en", "zh"):
            for held in (100, 400):
                parts[lang, held] = divisions(lang, Path(folder) / f"{lang}{held}", held)
    _thresholds(parts)
    _abstaining(parts)


if __name__ == "__main__":
    main()
