"""Columns of a table that are no single number: texts as n-grams, pictures as pixels, each a block
of features that stands beside the others.

The rows of a block have length one, so that a long text says no more than a short one, and a block
of thousands of columns no more than a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.modalities.image.arrays import PixelFeatures
from feilun.modalities.text.ngrams import NGrams

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["MAX_GRAMS", "Pictures", "Texts"]

MAX_GRAMS = 30_000
"""N-grams of one column: those nearest to standing in one row of a hundred."""
_BITS = 19
_LEAST = 2  # rows that an n-gram must stand in
_TYPICAL = 100.0


class Texts:
    """The n-grams of one column, weighed by how rare they are. `state` is what `fit` found."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._columns = np.array(state["grams"], np.int64)
        self._idf = np.array(state["idf"], np.float32)

    @staticmethod
    def fit(texts: Sequence[str | None]) -> dict[str, Any]:
        """Which n-grams there are, and their inverse document frequency; plain JSON."""
        said = [text for text in texts if text is not None]
        rows = NGrams(_BITS).transform(said)
        occurs = np.bincount(rows.indices, minlength=rows.shape[1])
        kept = np.flatnonzero(occurs >= min(_LEAST, max(1, len(said))))
        if len(kept) > MAX_GRAMS:
            distance = np.abs(np.log(occurs[kept] / max(1.0, len(said) / _TYPICAL)))
            kept = np.sort(kept[np.argsort(distance, kind="stable")[:MAX_GRAMS]])
        idf = np.log((1 + len(said)) / (1 + occurs[kept])) + 1
        return {"grams": kept.tolist(), "idf": [round(float(one), 4) for one in idf]}

    @property
    def size(self) -> int:
        """Columns of the block."""
        return len(self._columns)

    @cached_property
    def _places(self) -> np.ndarray:
        places = np.full(1 << _BITS, -1, np.int32)
        places[self._columns] = np.arange(len(self._columns), dtype=np.int32)
        return places

    def transform(self, texts: Sequence[str | None]) -> csr_matrix:
        """Shape (len(texts), size), float32; a row of zeros where there is no text."""
        from scipy.sparse import csr_matrix

        found = NGrams(_BITS).transform([text or "" for text in texts])
        places = self._places[found.indices]
        # Of nothing, too, there are n-grams: the space that a text begins with.
        said = np.array([bool(text) for text in texts], bool)
        kept = (places >= 0) & np.repeat(said, np.diff(found.indptr))
        ends = np.concatenate(([0], np.cumsum(kept)))[found.indptr]
        data = found.data[kept] * self._idf[places[kept]]
        rows = csr_matrix((data, places[kept], ends), shape=(len(texts), self.size))
        squares = np.add.reduceat(np.append(rows.data**2, np.float32(0)), rows.indptr[:-1])
        counts = np.diff(rows.indptr)
        length = np.sqrt(np.where(counts, squares, 1.0))
        rows.data = (rows.data / np.repeat(np.where(length, length, 1.0), counts)).astype(
            np.float32
        )
        rows.sort_indices()
        return rows


class Pictures:
    """Coarse colours and edges of one column; nothing is fitted."""

    def __init__(self) -> None:
        self._pixels = PixelFeatures()

    @property
    def size(self) -> int:
        """Columns of the block."""
        return self._pixels.size

    def transform(self, pictures: Sequence[bytes | None]) -> np.ndarray:
        """Shape (len(pictures), size), float32; a row of zeros where there is no picture."""
        found = np.zeros((len(pictures), self.size), np.float32)
        there = [place for place, one in enumerate(pictures) if one is not None]
        if there:
            rows = self._pixels.transform([pictures[place] for place in there])
            length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
            found[there] = rows / np.where(length, length, 1.0).astype(np.float32)[:, None]
        return found
