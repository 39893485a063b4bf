"""The linear baseline on growing parts of the rows, each part inside the next: what a forecast is
made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from feilun.training.folds import FOLDS, Matrix, trained_on
from feilun.training.out_of_fold import deal

__all__ = ["FITS", "PARTS", "curve"]

PARTS = (0.25, 0.35, 0.5, 0.7, 1.0)
"""Of the rows of four folds. Smaller parts would bend the curve: below a few hundred rows accuracy
rises by other laws."""
_TIMES = 2
FITS = FOLDS * ((len(PARTS) - 1) * _TIMES + 1)
"""Fits that `curve` makes."""


def curve(
    rows: Matrix,
    labels: np.ndarray,
    count: int,
    strength: float,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    tick: Callable[[int], None] = lambda fits: None,
) -> list[tuple[int, np.ndarray]]:
    """For each part the number of training rows and, for every row, the share of the models of that
    size that have it right; no model is asked about rows that it learned, nor about rows of the
    same group. Parts smaller than the whole are drawn twice."""
    total = len(labels)
    fold = deal(labels, groups, FOLDS, seed)
    generator = np.random.default_rng(seed)
    right = np.zeros((len(PARTS), total))
    done = 0
    for number in np.unique(fold).tolist():
        judge = fold == number
        pool = np.flatnonzero(~judge)
        for turn in range(_TIMES):
            order = generator.permutation(pool)
            for place, part in enumerate(PARTS):
                whole = part == 1.0
                if whole and turn:
                    continue
                chosen = order[: max(2, round(part * len(pool)))]
                stated = trained_on(rows, labels, count, chosen, judge, strength)
                hits = stated.argmax(axis=1) == labels[judge]
                right[place, judge] += hits / (1 if whole else _TIMES)
                done += 1
                tick(done)
    size = total * (FOLDS - 1) / FOLDS
    return [(round(part * size), right[place]) for place, part in enumerate(PARTS)]
