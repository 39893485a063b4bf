"""Boosted trees on the columns of a table, answered inline.

``model.txt`` is a LightGBM booster in its own text format, ``features.json`` tells what its columns
are made of. The raw scores are logits: of two labels the booster knows one number, the log-odds of
the second, of more one for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from feilun.engines._features import read_features
from feilun.engines._inline import InlineEngine
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact, EnvironmentProblem
from feilun.types import Item

if TYPE_CHECKING:
    from feilun.tasks._table_features import TableFeatures

__all__ = ["CONVERTS", "FORMATS", "MODEL", "TreesEngine", "lightgbm", "load",
           "model_file"]  # fmt: skip

FORMATS = ("trees",)
CONVERTS = False
"""A version is served as it was trained: it is its own and only variant."""
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

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        self._features = cast("TableFeatures", read_features(folder, card.schema))
        self._boosters = _read(folder, card, len(self._features.dense_owners))

    def logits(self, items: Sequence[Item]) -> np.ndarray:
        count = len(self.card.schema.labels)
        if not items:
            return np.zeros((0, count), np.float32)
        rows = self._features.dense(items)
        raw = np.mean(
            [one.predict(rows, raw_score=True, num_threads=1) for one in self._boosters], 0
        )
        return as_logits(raw, count)

    @property
    def owners(self) -> np.ndarray:
        """The input column of each column that the trees see."""
        return self._features.dense_owners

    def contributions(self, item: Item, label: int, other: int) -> tuple[np.ndarray, np.ndarray]:
        """The columns that the trees see and what each adds to the log-odds of `label` against
        `other` (places among the labels), exactly (TreeSHAP; Lundberg and others, 2018). With the
        mean over the training rows they add up to the log-odds of the answer."""
        rows = self._features.dense([item])
        width = rows.shape[1] + 1
        found = [
            np.asarray(one.predict(rows, pred_contrib=True, num_threads=1)).reshape(-1, width)
            for one in self._boosters
        ]
        each = as_logits(np.mean(found, 0)[:, :-1].T, len(self.card.schema.labels))
        difference = (each[:, label] - each[:, other]).astype(np.float64) / self.card.temperature
        return np.arange(width - 1), difference


def as_logits(raw: np.ndarray, labels: int) -> np.ndarray:
    """Raw scores as logits, float32 (n, labels). One score a row is the log-odds of the second of
    two labels."""
    raw = raw.reshape(len(raw), -1)
    if raw.shape[1] == 1 and labels == 2:
        raw = np.hstack([-raw / 2, raw / 2])
    return raw.astype(np.float32)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> TreesEngine:
    """Opens a `trees` version; it answers in its caller's thread, so it takes no streams."""
    return TreesEngine(folder, card)


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
