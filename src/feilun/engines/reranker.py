"""Recommendations in two stages: what the history speaks for, as `engines.recommender` finds it,
put in order by boosted trees that also see how popular an item is and what the columns of users and
items say. Answered inline.

A version is a `recommender` one with ``ranker.txt``, a LightGBM booster in its own text format,
``ranker.json``, what the items' columns are made of, and ``ranker.safetensors``: `numbers` (items,
columns) float32, NaN where nothing is known, and of each block of features n (see
`modalities.table.described`) `data.n`, `indices.n` and `indptr.n` with a row for each item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from feilun.engines.card import Card
from feilun.engines.recommender import Parts, RecommenderEngine
from feilun.engines.trees import lightgbm
from feilun.errors import CorruptArtifact
from feilun.modalities.askers import Asker
from feilun.modalities.table.described import Described

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["FORMATS", "ItemColumns", "RerankerEngine", "load"]

FORMATS = ("reranked",)

_BOOSTER, _HEAD, _ARRAYS = "ranker.txt", "ranker.json", "ranker.safetensors"
_PLAIN = 8
"""Features of a candidate that need no columns."""


class ItemColumns:
    """What is known of the items of a catalogue: their `numbers` (items, columns) by `names`, and
    blocks of features."""

    def __init__(
        self, names: Sequence[str], numbers: np.ndarray, blocks: Sequence[csr_matrix]
    ) -> None:
        self.names, self.numbers, self.blocks = list(names), numbers, list(blocks)

    @classmethod
    def of(cls, items: Sequence[str], about: Mapping[str, Mapping[str, Any]]) -> ItemColumns:
        """The columns of `items`, of which `about` tells by their names."""
        rows = [about.get(name, {}) for name in items]
        told = Described.fit([row for row in rows if row]) if any(rows) else Described([])
        names = [one["name"] for one in told.state if "ends" in one]
        numbers = np.full((len(items), len(names)), np.nan, np.float32)
        for column, name in enumerate(names):
            for place, row in enumerate(rows):
                if isinstance(row.get(name), int | float):
                    numbers[place, column] = row[name]
        return cls(names, numbers, told.blocks(rows) if told.state else [])

    def write(self, folder: Path) -> None:
        """Writes what `read` reads."""
        from safetensors.numpy import save_file

        head = {"numbers": self.names, "widths": [one.shape[1] for one in self.blocks]}
        (folder / _HEAD).write_bytes(msgspec.json.encode(head))
        tensors = {"numbers": self.numbers}
        for place, one in enumerate(self.blocks):
            tensors[f"data.{place}"] = np.asarray(one.data, np.float32)
            tensors[f"indices.{place}"] = np.asarray(one.indices, np.int32)
            tensors[f"indptr.{place}"] = np.asarray(one.indptr, np.int64)
        save_file(tensors, folder / _ARRAYS)

    @classmethod
    def read(cls, folder: Path) -> ItemColumns:
        """The columns in `folder`. Raises `CorruptArtifact` where they are not whole."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
        from scipy.sparse import csr_matrix

        try:
            head = msgspec.json.decode((folder / _HEAD).read_bytes())
            held = load_file(folder / _ARRAYS)
            numbers = held["numbers"]
            blocks = []
            for place, width in enumerate(head["widths"]):
                parts = tuple(held[f"{name}.{place}"] for name in ("data", "indices", "indptr"))
                blocks.append(csr_matrix(parts, shape=(len(numbers), width)))
            return cls(head["numbers"], numbers, blocks)
        except (OSError, KeyError, ValueError, msgspec.DecodeError, SafetensorError) as error:
            raise CorruptArtifact("engines.bad_weights", file=folder, reason=repr(error)) from None

    def rows(self, history: np.ndarray, items: np.ndarray) -> np.ndarray:
        """How near each of `items` is to those of the `history` in every block, their numbers, and
        how far these are from the history's mean, float64 (items, columns)."""
        found = []
        for block in self.blocks:
            usual = np.asarray(block[history].mean(axis=0)).ravel()
            found.append(np.asarray(block[items] @ usual).ravel())
        mine = self.numbers[items].astype(np.float64)
        past = self.numbers[history].astype(np.float64)
        known = ~np.isnan(past)
        mean = np.where(known, past, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        away = np.where(known.any(axis=0), mine - mean, np.nan)
        return np.column_stack([*found, mine, away]) if found else np.hstack([mine, away])

    @property
    def width(self) -> int:
        """Columns of `rows`."""
        return len(self.blocks) + 2 * len(self.names)


class RerankerEngine(RecommenderEngine):
    """Answers from a `reranked` version. Without a booster it answers in the order of the first
    stage: so a method sees what there is to be put in order."""

    name = "reranker"

    def __init__(self, folder: Path, card: Card, columns: ItemColumns, booster: Any = None) -> None:
        super().__init__(folder, card)
        self._columns, self._booster = columns, booster
        known, width = len(columns.numbers), _PLAIN + columns.width
        if known != len(self._items) or (booster and booster.num_feature() != width):
            reason = f"{known} items of {len(self._items)}, {width} columns"
            raise CorruptArtifact("engines.bad_weights", file=folder, reason=reason)

    def candidates(self, asker: Asker) -> tuple[np.ndarray, np.ndarray]:
        """The places of the items that the history of `asker` speaks for, the best first, and what
        is known of each, float64 (items, columns)."""
        history, out, only = self._told_by(asker)
        best, scores, parts = self._speaks(history, out, only)
        return best, self._features(asker, history, best, scores, parts)

    def _in_order(
        self,
        asker: Asker,
        history: np.ndarray,
        best: np.ndarray,
        scores: np.ndarray,
        parts: Parts,
    ) -> tuple[np.ndarray, np.ndarray]:
        if self._booster is None or not len(best):
            return best, scores
        rows = self._features(asker, history, best, scores, parts)
        said = np.asarray(self._booster.predict(rows, raw_score=True, num_threads=1))
        order = np.argsort(-said, kind="stable")
        return best[order], 1 / (1 + np.exp(-said[order]))

    def _features(
        self,
        asker: Asker,
        history: np.ndarray,
        best: np.ndarray,
        scores: np.ndarray,
        parts: Parts,
    ) -> np.ndarray:
        """Scores and ranks of the first stage, how many items of the history speak for a candidate
        and how much the strongest does, popularity, the length of the history, what the user's
        columns say of it; then `ItemColumns.rows`."""
        _, targets, values = parts
        place = np.full(len(self._items), -1, np.int64)
        place[best] = np.arange(len(best))
        of = place[targets]
        speaking = (of >= 0) & (values > 0)
        of, strength = of[speaking], values[speaking]
        strongest = np.zeros(len(best))
        np.maximum.at(strongest, of, strength)
        top = float(scores.max(initial=0.0)) or 1.0
        plain = [
            scores,
            scores / top,
            np.arange(len(best)),
            np.bincount(of, minlength=len(best)),
            strongest,
            np.log1p(self._taken[best]),
            np.full(len(best), len(history)),
            self._by_user(asker, best),
        ]
        rows = np.column_stack(plain)
        return np.hstack([rows, self._columns.rows(history, best)]) if len(best) else rows

    def _by_user(self, asker: Asker, items: np.ndarray) -> np.ndarray:
        """How much likelier the user's columns make each of `items`, in logarithms; NaN where
        nothing is known."""
        parts = self._parts_of(asker)
        if not parts:
            return np.full(len(items), np.nan)
        odds = np.asarray(self._odds[[place for _, _, place in parts]], np.float64).sum(axis=0)
        found = np.searchsorted(self._offered, items)
        found = np.minimum(found, len(self._offered) - 1)
        return np.where(self._offered[found] == items, odds[found], np.nan)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> RerankerEngine:
    """Opens a `reranked` version; it answers in its caller's thread, so it takes no streams."""
    package = lightgbm()
    try:
        booster = package.Booster(model_str=(folder / _BOOSTER).read_text("utf-8"))
    except (OSError, ValueError, package.basic.LightGBMError) as error:
        raise CorruptArtifact("engines.bad_weights", file=folder, reason=repr(error)) from None
    return RerankerEngine(folder, card, ItemColumns.read(folder), booster)


def save_booster(folder: Path, booster: Any) -> None:
    """Writes the booster that `load` reads."""
    (folder / _BOOSTER).write_text(booster.model_to_string(), "utf-8")
