"""A scorecard, answered inline: every column of a row gives whole points, and their sum is the
log-odds of a label on a scale of its own.

``scorecard.json`` is the whole model: ``label`` and ``other``, ``base`` points that every row has,
``factor`` and ``offset`` (points = offset + factor * log-odds), and ``columns`` with the bins of
each: ``below`` (a number's upper end, null for the last), ``values`` (categories, null for all
others) and ``missing``, each with its ``points``.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines._inline import InlineEngine
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact
from feilun.modalities.times import moment
from feilun.types import EngineRequest, Item, Output, Scalar

__all__ = [
    "DAY",
    "FORMATS",
    "SCORECARD",
    "Bin",
    "Scorecard",
    "ScorecardEngine",
    "Scored",
    "load",
]  # fmt: skip

FORMATS = ("scorecard",)
SCORECARD = "scorecard.json"
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Bin:
    """Values that give the same `points`: numbers and days `below` an end, or categories. Of the
    training rows `rows` stand in it, of which the `share` has the card's label."""

    points: int
    rows: int
    share: float
    below: float | None = None
    values: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A column of the card. Bins of numbers ascend, the last without an end; of categories the last
    takes all others. `information` is its information value (Siddiqi, 2006)."""

    name: str
    kind: str
    information: float
    bins: tuple[Bin, ...]
    missing: Bin

    def bin_of(self, value: Scalar) -> Bin:
        """Where a checked cell stands."""
        if value is None:
            return self.missing
        if self.kind == "category":
            named = (one for one in self.bins if one.values and value in one.values)
            return next(named, self.bins[-1])
        number = days(value) if self.kind == "date" else float(value)
        ends = [one.below for one in self.bins if one.below is not None]
        return self.bins[bisect_right(ends, number)]

    @property
    def most(self) -> int:
        """The highest points that a value of the column may have."""
        return max(one.points for one in (*self.bins, self.missing))


@dataclass(frozen=True, slots=True)
class Scorecard:
    """See the module. `pdo` points double the odds, `base_score` stands for `base_odds`."""

    label: str
    other: str
    base: int
    pdo: float
    base_score: float
    base_odds: float
    columns: tuple[Scored, ...]

    @property
    def factor(self) -> float:
        """Points of a log-odds of 1."""
        return self.pdo / float(np.log(2))

    @property
    def offset(self) -> float:
        """Points at even odds."""
        return self.base_score - self.factor * float(np.log(self.base_odds))

    def points(self, item: Item) -> list[int]:
        """The points of each column, without the base."""
        row: Mapping[str, Any] = item if isinstance(item, Mapping) else {self.columns[0].name: item}
        return [one.bin_of(row.get(one.name)).points for one in self.columns]

    def log_odds(self, points: float) -> float:
        """Of `label` against the other, at a sum of points with the base."""
        return (points - self.offset) / self.factor

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal card back."""
        return {**asdict(self), "factor": self.factor, "offset": self.offset}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Scorecard:
        """What `to_json` wrote."""
        own = {name: raw[name] for name in cls.__slots__ if name != "columns"}
        return cls(**own, columns=tuple(_column(one) for one in raw["columns"]))


def _column(raw: Mapping[str, Any]) -> Scored:
    bins = tuple(_bin(one) for one in raw["bins"])
    return Scored(raw["name"], raw["kind"], raw["information"], bins, _bin(raw["missing"]))


def _bin(raw: Mapping[str, Any]) -> Bin:
    values = None if raw["values"] is None else tuple(raw["values"])
    return Bin(**{**raw, "values": values})


def days(value: Scalar) -> float:
    """Days since 1970 of a checked date."""
    return (moment(value, "") or 0.0) / DAY


class ScorecardEngine(InlineEngine):
    """Answers from a `scorecard` version; answers have their ``points``."""

    name = "scorecard"

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        file = folder / SCORECARD
        try:
            self.scorecard = Scorecard.from_json(json.loads(file.read_text("utf-8")))
            labels = card.schema.labels
            self._ends = labels.index(self.scorecard.label), labels.index(self.scorecard.other)
            names = [column.name for column in self._task.columns]
            self.owners = np.array([names.index(c.name) for c in self.scorecard.columns], np.int64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        sums = [self.scorecard.base + sum(self.scorecard.points(item)) for item in items]
        return self._raw(sums)

    def outputs(self, request: EngineRequest) -> list[Output]:
        sums = [self.scorecard.base + sum(self.scorecard.points(one)) for one in request.items]
        found = self._decode(self._raw(sums), request.all_scores)
        for output, points in zip(found, sums, strict=True):
            output["points"] = points
        return found

    def _raw(self, sums: Sequence[int]) -> np.ndarray:
        odds = np.array([self.scorecard.log_odds(one) for one in sums], np.float64)
        raw = np.zeros((len(sums), self._width), np.float32)
        raw[:, self._ends[0]], raw[:, self._ends[1]] = odds / 2, -odds / 2
        return raw

    def points(self, item: Item) -> dict[str, tuple[int, int]]:
        """Of each column of the card the points that `item` has, and the most there are."""
        given = self.scorecard.points(item)
        columns = self.scorecard.columns
        return {one.name: (p, one.most) for one, p in zip(columns, given, strict=True)}

    def contributions(self, item: Item, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns of the card and what each adds to the raw outputs along `direction`: its
        points. With the base they add up to the raw outputs along it."""
        points = np.array(self.scorecard.points(item), np.float64)
        along = (direction[self._ends[0]] - direction[self._ends[1]]) / 2
        return np.arange(len(points)), points / self.scorecard.factor * along


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> ScorecardEngine:
    """Opens a `scorecard` version; it answers in its caller's thread, so it takes no streams."""
    return ScorecardEngine(folder, card)
