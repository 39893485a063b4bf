"""Rows of a table as numbers: sparse for the linear baseline, dense for trees. Texts and pictures
are blocks of many columns (`table.blocks`), which trees see through a linear model of each.

What is fitted (which categories there are, where the middle of a number lies and how far it
spreads) is plain JSON, kept with the version. A category that was not seen counts as ``other``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.modalities.table.blocks import Pictures, Texts
from feilun.modalities.times import moment
from feilun.types import Item, Scalar

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["MAX_CATEGORIES", "TableFeatures"]

MAX_CATEGORIES = 1000
"""Categories of a column, the most frequent; all others are ``other``."""
_LEAST = 2  # rows that a category must occur in
_TRUTH = frozenset({"true", "false"})
_FAR = 5.0  # spreads from the middle beyond which a number says no more to the linear baseline
_DAY = 86_400.0
_PARTS = ("", "month", "weekday", "hour")
_READ = 256  # rows whose pictures are held at once


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
        rows = len(items)
        for (name, kind), values in zip(self.columns, self._values(items, False), strict=True):
            if kind == "image":
                state[name] = {}
            elif kind == "category":
                seen: Counter[str] = Counter()
                for word, n in Counter(value for value in values if value is not None).items():
                    seen[_plain(word)] += n
                usual = [(n, word) for word, n in seen.items() if n >= min(_LEAST, rows)]
                usual.sort(key=lambda one: (-one[0], one[1]))
                state[name] = {"categories": sorted(word for _, word in usual[:MAX_CATEGORIES])}
            else:
                parts = _numbers(values, kind)
                state[name] = {
                    "parts": [_spread(parts[:, place]) for place in range(parts.shape[1])]
                }
                if kind == "text":
                    state[name] |= Texts.fit(values)
        return TableFeatures(self.columns, state)

    def _values(self, items: Sequence[Item], pictures: bool) -> list[Any]:
        """The values of each column; of pictures what is seen in them, float32 (n, size), so that
        few of them are held, and nothing where they are not wanted."""
        drawn = {n for n, (_, kind) in enumerate(self.columns) if kind == "image"}
        found: list[Any] = [[] for _ in self.columns]
        seeing = Pictures()
        for start in range(0, len(items) if drawn else 0, _READ):
            rows = [self.row(item) for item in items[start : start + _READ]]
            for place, (name, _) in enumerate(self.columns):
                cells = [row.get(name) for row in rows]
                if place not in drawn:
                    found[place] += cells
                elif pictures:
                    found[place].append(seeing.transform(cells))
        if not drawn:
            rows = [self.row(item) for item in items]
            found = [[row.get(name) for row in rows] for name, _ in self.columns]
        for place in drawn:
            found[place] = np.vstack([np.zeros((0, seeing.size), np.float32), *found[place]])
        return found

    def row(self, item: Item) -> Mapping[str, Any]:
        """A checked item by its columns' names."""
        return item if isinstance(item, Mapping) else {self.columns[0][0]: item}

    @cached_property
    def _codes(self) -> dict[str, dict[str, int]]:
        return {
            name: _spelt(self.state[name]["categories"])
            for name, kind in self.columns
            if kind == "category"
        }

    @cached_property
    def _texts(self) -> dict[str, Texts]:
        """Those whose n-grams were fitted: versions of before knew but the length of a text."""
        return {
            name: Texts(self.state[name])
            for name, kind in self.columns
            if kind == "text" and "grams" in self.state[name]
        }

    @cached_property
    def _widths(self) -> list[int]:
        """Sparse columns of each input: a category has one each, one for others and one for none; a
        number itself and whether it is missing; a text its length and its n-grams."""
        widths = []
        for name, kind in self.columns:
            if kind == "category":
                widths.append(len(self.state[name]["categories"]) + 2)
            elif kind == "image":
                widths.append(Pictures().size)
            else:
                block = self._texts[name].size if name in self._texts else 0
                widths.append(2 * len(self.state[name]["parts"]) + block)
        return widths

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
        from scipy import sparse

        if not self.columns or not len(items):
            return sparse.csr_matrix((len(items), self.size), dtype=np.float32)
        parts: list[csr_matrix] = []
        plain: list[tuple[np.ndarray, np.ndarray, int]] = []

        def close() -> None:
            """Columns with one cell a row become one matrix: most tables have nothing else."""
            if plain:
                parts.append(_one_a_row(plain))
                plain.clear()

        named = zip(self.columns, self._widths, self._values(items, True), strict=True)
        for (name, kind), width, values in named:
            if kind == "image":
                close()
                parts.append(sparse.csr_matrix(values))
            elif kind == "category":
                codes = self._category(name, values)
                plain.append(
                    (np.where(codes < 0, width + codes, codes), np.ones(len(codes)), width)
                )
            else:
                found = _numbers(values, kind)
                for place, spread in enumerate(self.state[name]["parts"]):
                    gone = np.isnan(found[:, place])
                    scaled = (found[:, place] - spread["mean"]) / spread["scale"]
                    scaled = np.where(gone, 1.0, np.clip(scaled, -_FAR, _FAR))
                    plain.append((gone.astype(np.int64), scaled, 2))
                if name in self._texts:
                    close()
                    parts.append(self._texts[name].transform(values))
        close()
        if len(parts) == 1:
            return parts[0]
        whole: csr_matrix = sparse.hstack(parts, format="csr", dtype=np.float32)
        whole.has_sorted_indices = True
        return whole

    def blocks(self, items: Sequence[Item]) -> dict[str, csr_matrix | np.ndarray]:
        """The blocks of texts and pictures alone, by their column."""
        found: dict[str, csr_matrix | np.ndarray] = {}
        for (name, kind), values in zip(self.columns, self._values(items, True), strict=True):
            if name in self._texts:
                found[name] = self._texts[name].transform(values)
            elif kind == "image":
                found[name] = values
        return found

    # Trees

    @property
    def dense_owners(self) -> np.ndarray:
        """The input of each column of `dense`, int64."""
        counts = [{"date": len(_PARTS), "image": 0}.get(kind, 1) for _, kind in self.columns]
        return np.repeat(np.arange(len(self.columns)), counts)

    @property
    def categorical(self) -> list[int]:
        """The columns of `dense` that hold codes."""
        kinds = [self.columns[owner][1] for owner in self.dense_owners]
        return [place for place, kind in enumerate(kinds) if kind == "category"]

    def dense(self, items: Sequence[Item]) -> np.ndarray:
        """float64 (len(items), columns): numbers with NaN where they are missing, categories as
        codes with NaN where they are missing or were not seen, dates in parts, texts by their
        length; pictures have none."""
        parts: list[np.ndarray] = []
        for (name, kind), values in zip(self.columns, self._values(items, False), strict=True):
            if kind == "image":
                continue
            if kind == "category":
                codes = self._category(name, values)
                parts.append(np.where(codes < 0, np.nan, codes)[:, None])
            else:
                parts.append(_numbers(values, kind))
        return np.hstack(parts) if parts else np.zeros((len(items), 0))

    def _category(self, name: str, values: Sequence[Scalar]) -> np.ndarray:
        """Codes, int64: -2 for others, -1 for none."""
        codes = self._codes[name]
        return np.fromiter(
            (-1 if value is None else codes.get(value, -2) for value in values),  # type: ignore[arg-type]
            np.int64,
            len(values),
        )


def _plain(word: str) -> str:
    """The category that a word names: Excel writes TRUE, pandas True, JSON true."""
    return word.casefold() if word.casefold() in _TRUTH else word


def _spelt(categories: Sequence[str]) -> dict[str, int]:
    """The code of each word, also of truth values that are written otherwise."""
    codes = {word: place for place, word in enumerate(categories)}
    for word, place in list(codes.items()):
        if word.casefold() in _TRUTH:
            for other in (word.lower(), word.upper(), word.capitalize()):
                codes.setdefault(other, place)
    return codes


def _one_a_row(columns: Sequence[tuple[np.ndarray, np.ndarray, int]]) -> csr_matrix:
    """Groups of columns of which each row has one: its place in the group, its value, and how many
    there are."""
    from scipy.sparse import csr_matrix

    begins = np.cumsum([0, *(width for _, _, width in columns)])
    flat = np.column_stack([b + one[0] for b, one in zip(begins, columns, strict=False)])
    data = np.column_stack([one[1] for one in columns]).astype(np.float32)
    ends = np.arange(0, flat.size + 1, flat.shape[1])
    matrix = csr_matrix((data.ravel(), flat.ravel(), ends), shape=(len(flat), int(begins[-1])))
    matrix.has_sorted_indices = True
    return matrix


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
