"""How unlike the training rows an input is, on the features of the linear baseline.

Of hashed n-grams only a count is kept for each column: how many training rows have it. So the
sketch has the size of the columns (4 MiB for 2 to the power of 20), however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from feilun.tasks.base import Features, fit_features
from feilun.types import Item

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Sketch", "sketch"]

_CHUNK = 512
_DENSE_ROWS = 2000


class Sketch:
    """What the training rows are made of: `seen` (columns,) bool for sparse features, `rows`
    (up to 2,000, columns) for dense ones."""

    def __init__(
        self, features: Features, seen: np.ndarray | None, rows: np.ndarray | None
    ) -> None:
        self._features = features
        self._seen = seen
        self._rows = rows
        self._scale = 1.0 if rows is None else _typical(rows)

    def unseen(self, items: Sequence[Item]) -> np.ndarray:
        """For each item the share of its n-grams that no training row has, by weight, (items,);
        for dense features the distance to the nearest training row against what is usual."""
        parts = [self._part(self._features.transform(part)) for part in _batches(items)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _part(self, rows: csr_matrix | np.ndarray) -> np.ndarray:
        if isinstance(rows, np.ndarray):
            assert self._rows is not None
            near = _distances(rows, self._rows).min(axis=1)
            dense: np.ndarray = near / (near + self._scale)
            return dense
        assert self._seen is not None
        rows = abs(rows)  # features in units of their own may be below zero
        new = rows.copy()
        new.data = np.where(self._seen[rows.indices], 0.0, rows.data)
        total = np.asarray(rows.sum(axis=1)).ravel()
        share: np.ndarray = np.asarray(new.sum(axis=1)).ravel() / np.where(total > 0, total, 1.0)
        return share


def sketch(features: Features, items: Iterable[Item]) -> Sketch:
    """The sketch of these training rows, read once."""
    if hasattr(features, "fit"):
        items = list(items)
        features = fit_features(features, items)
    seen: np.ndarray | None = None
    dense: list[np.ndarray] = []
    held = 0
    left = iter(items)
    while part := list(islice(left, _CHUNK)):
        rows = features.transform(part)
        if isinstance(rows, np.ndarray):
            dense.append(rows[: _DENSE_ROWS - held])
            held += len(dense[-1])
            if held >= _DENSE_ROWS:
                break
            continue
        if seen is None:
            seen = np.zeros(features.size, bool)
        seen[rows.indices] = True
    if seen is None and not dense:
        seen = np.zeros(features.size, bool)
    return Sketch(features, seen, np.concatenate(dense) if dense else None)


def _batches(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


def _distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :] - 2 * left @ right.T
    distances: np.ndarray = np.sqrt(np.maximum(squares, 0.0))
    return distances


def _typical(rows: np.ndarray) -> float:
    """The median distance of training rows to the nearest other one."""
    if len(rows) < 2:
        return 1.0
    between = _distances(rows[:500], rows[:500])
    np.fill_diagonal(between, np.inf)
    return float(max(np.median(between.min(axis=1)), 1e-6))
