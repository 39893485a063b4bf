"""Rows of a table as numbers: sparse for the linear baseline, dense for trees.

What is fitted (which categories there are, where the middle of a number lies and how far it
spreads) is plain JSON, kept with the version. A category that was not seen counts as ``other``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.tasks._times import moment
from feilun.types import Item, Scalar

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["MAX_CATEGORIES", "TableFeatures"]

MAX_CATEGORIES = 1000
"""Categories of a column, the most frequent; all others are ``other``."""
_LEAST = 2  # rows that a category must occur in
_FAR = 5.0  # spreads from the middle beyond which a number says no more to the linear baseline
_DAY = 86_400.0
_PARTS = ("", "month", "weekday", "hour")


class TableFeatures:
    """`columns` are names and kinds. Without a `state` they are to be fitted."""

    scaled = True
    """Rows come in units of their own: nobody weighs them or brings them to one length."""

    def __init__(
        self, columns: Sequence[tuple[str, str]], state: Mapping[str, Any] | None = None
    ) -> None:
        self.columns = tuple(columns)
        self.state: Mapping[str, Any] = dict(state or {})

    def fit(self, items: Sequence[Item]) -> TableFeatures:
        """Fitted to `items`, which are checked rows."""
        state: dict[str, Any] = {}
        rows = [self._row(item) for item in items]
        for name, kind in self.columns:
            values = [row.get(name) for row in rows]
            if kind == "category":
                seen = Counter(value for value in values if value is not None)
                usual = [(n, word) for word, n in seen.items() if n >= min(_LEAST, len(rows))]
                usual.sort(key=lambda one: (-one[0], one[1]))
                state[name] = {"categories": sorted(word for _, word in usual[:MAX_CATEGORIES])}
            else:
                parts = _numbers(values, kind)
                state[name] = {
                    "parts": [_spread(parts[:, place]) for place in range(parts.shape[1])]
                }
        return TableFeatures(self.columns, state)

    def _row(self, item: Item) -> Mapping[str, Any]:
        return item if isinstance(item, Mapping) else {self.columns[0][0]: item}

    @cached_property
    def _codes(self) -> dict[str, dict[str, int]]:
        return {
            name: {word: place for place, word in enumerate(self.state[name]["categories"])}
            for name, kind in self.columns
            if kind == "category"
        }

    @cached_property
    def _widths(self) -> list[int]:
        """Sparse columns of each input: a category has one each, one for others and one for none; a
        number itself and whether it is missing."""
        return [
            len(self.state[name]["categories"]) + 2
            if kind == "category"
            else 2 * len(self.state[name]["parts"])
            for name, kind in self.columns
        ]

    @property
    def size(self) -> int:
        """Number of sparse columns."""
        return sum(self._widths)

    @property
    def owners(self) -> np.ndarray:
        """The input of each sparse column, int64 (size,)."""
        return np.repeat(np.arange(len(self.columns)), self._widths)

    def transform(self, items: Sequence[Item]) -> csr_matrix:
        """Shape (len(items), size), float32."""
        from scipy.sparse import csr_matrix

        rows = [self._row(item) for item in items]
        places: list[np.ndarray] = []
        cells: list[np.ndarray] = []
        begin = 0
        for (name, kind), width in zip(self.columns, self._widths, strict=True):
            values = [row.get(name) for row in rows]
            if kind == "category":
                codes = self._category(name, values)
                places.append((begin + np.where(codes < 0, width + codes, codes))[:, None])
                cells.append(np.ones((len(rows), 1), np.float32))
            else:
                found = _numbers(values, kind)
                for place, spread in enumerate(self.state[name]["parts"]):
                    gone = np.isnan(found[:, place])
                    scaled = (found[:, place] - spread["mean"]) / spread["scale"]
                    scaled = np.where(gone, 1.0, np.clip(scaled, -_FAR, _FAR))
                    places.append((begin + 2 * place + gone)[:, None])
                    cells.append(scaled.astype(np.float32)[:, None])
            begin += width
        if not self.columns or not rows:
            return csr_matrix((len(rows), begin), dtype=np.float32)
        flat, data = np.hstack(places), np.hstack(cells)
        ends = np.arange(0, flat.size + 1, flat.shape[1])
        matrix = csr_matrix((data.ravel(), flat.ravel(), ends), shape=(len(rows), begin))
        matrix.has_sorted_indices = True
        return matrix

    # Trees

    @property
    def dense_owners(self) -> np.ndarray:
        """The input of each column of `dense`, int64."""
        counts = [len(_PARTS) if kind == "date" else 1 for _, kind in self.columns]
        return np.repeat(np.arange(len(self.columns)), counts)

    @property
    def categorical(self) -> list[int]:
        """The columns of `dense` that hold codes."""
        kinds = [self.columns[owner][1] for owner in self.dense_owners]
        return [place for place, kind in enumerate(kinds) if kind == "category"]

    def dense(self, items: Sequence[Item]) -> np.ndarray:
        """float64 (len(items), columns): numbers with NaN where they are missing, categories as
        codes with NaN where they are missing or were not seen, dates in parts."""
        rows = [self._row(item) for item in items]
        parts: list[np.ndarray] = []
        for name, kind in self.columns:
            values = [row.get(name) for row in rows]
            if kind == "category":
                codes = self._category(name, values)
                parts.append(np.where(codes < 0, np.nan, codes)[:, None])
            else:
                parts.append(_numbers(values, kind))
        return np.hstack(parts) if parts else np.zeros((len(rows), 0))

    def _category(self, name: str, values: Sequence[Scalar]) -> np.ndarray:
        """Codes, int64: -2 for others, -1 for none."""
        codes = self._codes[name]
        return np.fromiter(
            (-1 if value is None else codes.get(value, -2) for value in values),  # type: ignore[arg-type]
            np.int64,
            len(values),
        )


def _numbers(values: Sequence[Any], kind: str) -> np.ndarray:
    """float64 (n, parts): a number itself, a text by its length in words, a date as days, month,
    weekday and hour."""
    if kind == "number":
        return np.array([np.nan if v is None else v for v in values], np.float64)[:, None]
    if kind == "text":
        return np.array([np.nan if v is None else len(v.split()) for v in values], float)[:, None]
    found = np.full((len(values), len(_PARTS)), np.nan)
    for place, value in enumerate(values):
        seconds = None if value is None else moment(value, "")
        if seconds is not None:
            days = seconds / _DAY
            month = int(np.datetime64(int(seconds), "s").astype("datetime64[M]").astype(int)) % 12
            found[place] = days, month + 1, (int(days // 1) + 3) % 7, seconds % _DAY // 3600
    return found


def _spread(values: np.ndarray) -> dict[str, float]:
    known = values[~np.isnan(values)]
    if not len(known):
        return {"mean": 0.0, "scale": 1.0}
    low, high = np.quantile(known, (0.001, 0.999))
    inner = np.clip(known, low, high)  # one typing error must not flatten all others
    return {"mean": float(inner.mean()), "scale": float(inner.std()) or 1.0}
