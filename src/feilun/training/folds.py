"""The linear baseline's answers to rows that it did not learn from, for whoever wants to know the
data.

The features are made once and weighed over all rows (which uses no label); only the fits repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from feilun.engines.linear import is_scaled, pick, weigh
from feilun.metrics.probabilities import softmax
from feilun.tasks.base import Features, fit_features
from feilun.training import logistic
from feilun.training.logistic import Matrix
from feilun.types import Item

__all__ = ["FOLDS", "Matrix", "matrix_of", "out_of_fold", "strength_for", "trained_on"]

FOLDS = 5

_CHUNK = 512
_CHOOSING = 2000
"""Rows on which the strength is chosen; it hardly moves with more."""
_STRENGTHS = (1.0, 3.0, 10.0)


def matrix_of(
    features: Features,
    items: Sequence[Item],
    tick: Callable[[int], None] = lambda rows: None,
) -> Matrix:
    """The weighed features of `items` (n, columns); of sparse ones what two rows use."""
    from scipy import sparse

    features = fit_features(features, items)
    parts = []
    for start in range(0, max(1, len(items)), _CHUNK):
        parts.append(features.transform(items[start : start + _CHUNK]))
        tick(min(len(items), start + _CHUNK))
    if isinstance(parts[0], np.ndarray):
        return weigh(np.concatenate(parts), None)
    rows = sparse.vstack(parts, format="csr")
    occurs = np.bincount(rows.indices, minlength=rows.shape[1])
    columns = np.flatnonzero(occurs >= min(2, len(items))).astype(np.int32)
    if is_scaled(features):
        return pick(rows, columns)
    idf = np.log((1 + len(items)) / (1 + occurs[columns])) + 1
    return weigh(pick(rows, columns), idf.astype(np.float32))


def strength_for(rows: Matrix, labels: np.ndarray, count: int, seed: int = 0) -> float:
    """The regularisation that suits these rows, by folds of a part of them."""
    part = np.random.default_rng(seed).permutation(len(labels))[:_CHOOSING]
    part.sort()
    half = np.arange(len(part)) % 4 == 0
    train, hold = part[~half], part[half]
    fitted = logistic.fit(
        rows[train],
        labels[train],
        count,
        (rows[hold], labels[hold]),
        strengths=_STRENGTHS,
        seed=seed,
    )
    return fitted.strength


def trained_on(
    rows: Matrix,
    labels: np.ndarray,
    count: int,
    train: np.ndarray,
    judge: np.ndarray,
    strength: float,
) -> np.ndarray:
    """Probabilities (judged, count) of the rows `judge`, learnt from the rows `train` (bool or
    places both)."""
    nobody = (rows[:0], labels[:0])
    fitted = logistic.fit(rows[train], labels[train], count, nobody, strengths=(strength,))
    logits = np.asarray(rows[judge] @ fitted.coef.T + fitted.intercept, np.float32)
    return softmax(logits, 1.0)


def out_of_fold(
    rows: Matrix,
    labels: np.ndarray,
    count: int,
    fold: np.ndarray,
    strength: float,
    tick: Callable[[int], None] = lambda folds: None,
) -> np.ndarray:
    """Probabilities (n, count) of every row, each by a model that saw no row of its fold."""
    found = np.zeros((len(labels), count))
    for done, number in enumerate(np.unique(fold).tolist(), 1):
        judge = fold == number
        found[judge] = trained_on(rows, labels, count, ~judge, judge, strength)
        tick(done)
    return found
