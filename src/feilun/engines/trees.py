"""Boosted trees on the columns of a table, answered inline.

``model.txt`` is a LightGBM booster in its own text format, ``features.json`` tells what its columns
are made of, ``readers.safetensors`` how texts and pictures are read, ``encoder/`` (where it is
there) gives the vectors of texts. A booster gives the numbers
that the family wants of a row, or one where it wants two: of two labels it knows the log-odds of
the second alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from feilun.engines._column_vectors import ENCODER, ColumnVectors
from feilun.engines._features import read_features
from feilun.engines._inline import InlineEngine
from feilun.engines._readers import Readers
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact, EnvironmentProblem
from feilun.types import Item

if TYPE_CHECKING:
    from feilun.modalities.table.features import TableFeatures

__all__ = ["FORMATS", "MODEL", "TreesEngine", "lightgbm", "load",
           "model_file"]  # fmt: skip

FORMATS = ("trees",)
MODEL = "model.txt"


def lightgbm() -> Any:
    """The package, which is imported when it is needed. Raises `EnvironmentProblem` without it."""
    try:
        import lightgbm as package
    except (ImportError, OSError) as error:
        raise EnvironmentProblem("engines.no_lightgbm", reason=str(error)) from None
    return package


class TreesEngine(InlineEngine):
    """Answers from a `trees` version."""

    name = "trees"

    def __init__(self, folder: Path, card: Card, threads: int | None = None) -> None:
        encoded = (folder / ENCODER).is_dir()
        super().__init__(card, slow=encoded)
        self._features = cast("TableFeatures", read_features(folder, card.schema))
        self._encoder = ColumnVectors(folder / ENCODER, threads) if encoded else None
        self._readers = Readers.read(folder, self._features, self._encoder)
        self._boosters = _read(folder, card, len(self.owners))

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        if not items:
            return np.zeros((0, self._width), np.float32)
        rows = self._readers.dense(items)
        raw = np.mean(
            [one.predict(rows, raw_score=True, num_threads=1) for one in self._boosters], 0
        )
        return widened(raw, self._width)

    def close(self) -> None:
        super().close()
        if self._encoder is not None:
            self._encoder.close()

    @property
    def owners(self) -> np.ndarray:
        """The input column of each column that the trees see."""
        return np.concatenate([self._features.dense_owners, self._readers.owners])

    def contributions(self, item: Item, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns that the trees see and what each adds to the raw outputs along `direction`
        (width,), exactly (TreeSHAP; Lundberg and others, 2018). With the mean over the training
        rows they add up to the raw outputs along it."""
        rows = self._readers.dense([item])
        width = rows.shape[1] + 1
        found = [
            np.asarray(one.predict(rows, pred_contrib=True, num_threads=1)).reshape(-1, width)
            for one in self._boosters
        ]
        each = widened(np.mean(found, 0)[:, :-1].T, self._width)
        return np.arange(width - 1), each.astype(np.float64) @ direction


def widened(raw: np.ndarray, width: int) -> np.ndarray:
    """Scores of a booster as raw outputs, float32 (n, width). One score where two are wanted is the
    difference between them."""
    raw = raw.reshape(len(raw), -1)
    if raw.shape[1] == 1 and width == 2:
        raw = np.hstack([-raw / 2, raw / 2])
    return raw.astype(np.float32)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> TreesEngine:
    """Opens a `trees` version; it answers in its caller's thread, so it takes no streams, unless an
    encoder reads texts for it."""
    return TreesEngine(folder, card, threads)


def model_file(number: int) -> str:
    """The file of booster `number` of a bag."""
    return f"model-{number}.txt" if number else MODEL


def _read(folder: Path, card: Card, width: int) -> list[Any]:
    """The boosters of the version: several where it is a bag of them."""
    package = lightgbm()
    files = [folder / model_file(number) for number in range(int(card.extra.get("boosters", 1)))]
    try:
        found = [package.Booster(model_str=file.read_text("utf-8")) for file in files]
    except (OSError, ValueError, package.basic.LightGBMError) as error:
        raise CorruptArtifact("engines.bad_weights", file=folder, reason=repr(error)) from None
    if any(one.num_feature() != width for one in found):
        shapes = [f"{one.num_feature()}" for one in found]
        raise CorruptArtifact("engines.bad_shapes", file=folder, shapes=shapes, labels=width)
    return found
