"""The linear baseline: features (n-grams of a text, columns of a table) times a matrix, answered
inline.

``weights.safetensors`` holds `coef` (width, size), `intercept` (width,), width being the numbers
that the family wants of a row, and, where the method weighed its features, `idf` (size,); all
float32. Where it dropped features, `columns` (size,) int32 names the kept ones in ascending order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from feilun.engines._features import read_features
from feilun.engines._inline import InlineEngine
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact
from feilun.types import Item

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from feilun.tasks.base import Features

__all__ = ["FORMATS", "WEIGHTS", "LinearEngine", "is_scaled", "load", "pick", "weigh"]

FORMATS = ("linear",)
WEIGHTS = "weights.safetensors"


def is_scaled(features: Features) -> bool:
    """Whether features come in units of their own, so that nobody weighs them."""
    return bool(getattr(features, "scaled", False))


def weigh(rows: csr_matrix | np.ndarray, idf: np.ndarray | None) -> csr_matrix | np.ndarray:
    """Features times `idf`, every row then of length one; what training and serving share.

    `rows` is (n, size), sparse or dense, and is not changed. A row of nothing stays nothing.
    """
    if isinstance(rows, np.ndarray):
        weighed = rows.astype(np.float32) if idf is None else (rows * idf).astype(np.float32)
        length = np.sqrt(np.einsum("ij,ij->i", weighed, weighed))
        return weighed / np.where(length, length, 1.0).astype(np.float32)[:, None]
    csr = rows.tocsr(copy=True)
    data = csr.data.astype(np.float32)
    if idf is not None:
        data *= idf[csr.indices]
    counts = np.diff(csr.indptr)
    squares = np.add.reduceat(np.append(data * data, np.float32(0)), csr.indptr[:-1])
    length = np.sqrt(np.where(counts, squares, 1.0))
    csr.data = data / np.repeat(np.where(length, length, 1.0), counts).astype(np.float32)
    return csr


def pick(rows: csr_matrix | np.ndarray, columns: np.ndarray | None) -> csr_matrix | np.ndarray:
    """The kept `columns` of features (n, size), in their ascending order; all of them for None."""
    if columns is None:
        return rows
    if isinstance(rows, np.ndarray):
        return rows[:, columns]
    return _pick(rows.tocsr(), columns, _places(columns, rows.shape[1]))


def _places(columns: np.ndarray, size: int) -> np.ndarray:
    """For each of `size` features its place among the kept `columns`, -1 for a dropped one."""
    places = np.full(size, -1, np.int32)
    places[columns] = np.arange(len(columns), dtype=np.int32)
    return places


def _pick(csr: csr_matrix, columns: np.ndarray, places: np.ndarray) -> csr_matrix:
    from scipy.sparse import csr_matrix

    kept = places[csr.indices]
    mask = kept >= 0
    ends = np.concatenate(([0], np.cumsum(mask)))[csr.indptr]
    picked = csr_matrix((csr.data[mask], kept[mask], ends), shape=(csr.shape[0], len(columns)))
    picked.has_sorted_indices = csr.has_sorted_indices
    return picked


class LinearEngine(InlineEngine):
    """Answers from a `linear` version."""

    name = "linear"

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        self._features = read_features(folder, card.schema)
        coef, self._intercept, self._idf, self._columns = _read(folder, self._width)
        self._places = (
            None if self._columns is None else _places(self._columns, self._features.size)
        )
        self._coef = np.ascontiguousarray(coef.T)  # a feature's weights lie together

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        if not items:
            return np.zeros((0, self._width), np.float32)
        rows = self._weighed(self._features.transform(items))
        return np.asarray(rows @ self._coef + self._intercept, np.float32)

    def contributions(
        self, item: Item, direction: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The columns that `item` has, ascending, and what each adds to the raw outputs along
        `direction` (width,); None where features are not sparse. With the intercept they add up to
        the raw outputs along it."""
        features = self._features.transform([item])
        if isinstance(features, np.ndarray):
            return None
        row = self._weighed(features)
        assert not isinstance(row, np.ndarray)
        kept = row.indices
        amounts = row.data.astype(np.float64) * (self._coef[kept] @ direction)
        return (kept if self._columns is None else self._columns[kept]), amounts

    @property
    def owners(self) -> np.ndarray | None:
        """The input column of each feature, where features belong to columns."""
        return getattr(self._features, "owners", None)

    def _weighed(self, rows: csr_matrix | np.ndarray) -> csr_matrix | np.ndarray:
        rows = self._kept(rows)
        return rows if is_scaled(self._features) else weigh(rows, self._idf)

    def _kept(self, rows: csr_matrix | np.ndarray) -> csr_matrix | np.ndarray:
        if self._columns is None or self._places is None or isinstance(rows, np.ndarray):
            return pick(rows, self._columns)
        return _pick(rows.tocsr(), self._columns, self._places)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> LinearEngine:
    """Opens a `linear` version; it answers in its caller's thread, so it takes no streams."""
    return LinearEngine(folder, card)


def _read(
    folder: Path, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    path = folder / WEIGHTS
    try:
        tensors = load_file(path)
        coef, intercept = tensors["coef"], tensors["intercept"]
        idf, columns = tensors.get("idf"), tensors.get("columns")
    except (OSError, KeyError, SafetensorError) as error:
        raise CorruptArtifact("engines.bad_weights", file=path, reason=repr(error)) from None
    fits = coef.ndim == 2 and coef.shape[0] == width and intercept.shape == (width,)
    per_column = [tensor for tensor in (idf, columns) if tensor is not None]
    if not fits or any(tensor.shape != coef.shape[1:] for tensor in per_column):
        shapes = [f"{name} {tensor.shape}" for name, tensor in sorted(tensors.items())]
        raise CorruptArtifact("engines.bad_shapes", file=path, shapes=shapes, labels=width)
    return coef, intercept, idf, columns
