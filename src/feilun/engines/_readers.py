"""How trees see texts and pictures: a linear model of each such column says how its words or pixels
speak for the target, and that score is one more column (stacking; Wolpert, 1992). Where a version
has an encoder, a second one says it of the text's vector.

``readers.safetensors`` holds, for the column at place N of the task's, ``N.coef`` (scores, size)
and ``N.intercept`` (scores,), float32; of its vectors ``N.vectors.coef`` and so on. There is no
such file where a table has no such column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from feilun.errors import CorruptArtifact
from feilun.types import Item

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from feilun.engines._column_vectors import ColumnVectors
    from feilun.modalities.table.features import TableFeatures

__all__ = ["READERS", "Key", "Reader", "Readers", "blocks"]

READERS = "readers.safetensors"

Key = tuple[str, str]
"""What a reader reads: a column's name, and ``""`` for its words or pixels, ``.vectors`` for its
vectors."""

_VECTORS = ".vectors"


def blocks(
    features: TableFeatures, items: Sequence[Item], encoder: ColumnVectors | None
) -> dict[Key, csr_matrix | np.ndarray]:
    """What readers read of `items`, a row each."""
    found = {(name, ""): block for name, block in features.blocks(items).items()}
    if encoder is not None:
        for name, kind in features.columns:
            if kind == "text":
                texts = [features.row(item).get(name) for item in items]
                found[name, _VECTORS] = encoder.vectors(texts)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """A linear model of one block: `coef` (scores, size), `intercept` (scores,)."""

    coef: np.ndarray
    intercept: np.ndarray

    def scores(self, block: csr_matrix | np.ndarray) -> np.ndarray:
        """Shape (rows, scores), float64."""
        found: np.ndarray = np.asarray(block @ self.coef.T, np.float64) + self.intercept
        return found


class Readers:
    """The readers of a table's columns, and the `encoder` that gives vectors, if there is one."""

    def __init__(
        self,
        features: TableFeatures,
        readers: Mapping[Key, Reader],
        encoder: ColumnVectors | None = None,
    ) -> None:
        self._features = features
        self._encoder = encoder
        self.readers = dict(readers)

    @property
    def owners(self) -> np.ndarray:
        """The input column of each score, int64."""
        places = {name: place for place, (name, _) in enumerate(self._features.columns)}
        owned = [[places[name]] * len(one.coef) for (name, _), one in self.readers.items()]
        return np.array([place for part in owned for place in part], np.int64)

    def dense(self, items: Sequence[Item]) -> np.ndarray:
        """What trees see: `TableFeatures.dense`, then the scores."""
        plain = self._features.dense(items)
        if not self.readers:
            return plain
        read = blocks(self._features, items, self._encoder)
        return np.hstack([plain, *(one.scores(read[n]) for n, one in self.readers.items())])

    def write(self, folder: Path) -> None:
        """Keeps the readers; nothing where there are none."""
        names = [name for name, _ in self._features.columns]
        tensors = {}
        for (name, what), one in self.readers.items():
            place = f"{names.index(name)}{what}"
            tensors[f"{place}.coef"] = np.ascontiguousarray(one.coef, np.float32)
            tensors[f"{place}.intercept"] = np.ascontiguousarray(one.intercept, np.float32)
        if tensors:
            save_file(tensors, folder / READERS)

    @classmethod
    def read(
        cls, folder: Path, features: TableFeatures, encoder: ColumnVectors | None = None
    ) -> Readers:
        """What `write` kept. Raises `CorruptArtifact` where it cannot be read."""
        file = folder / READERS
        if not file.is_file():
            return cls(features, {}, encoder)
        try:
            tensors = load_file(file)
            found = {
                (name, what): Reader(
                    tensors[f"{place}{what}.coef"], tensors[f"{place}{what}.intercept"]
                )
                for what in ("", _VECTORS)
                for place, (name, _) in enumerate(features.columns)
                if f"{place}{what}.coef" in tensors
            }
        except (OSError, KeyError, SafetensorError) as error:
            raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
        return cls(features, found, encoder)
