"""What duplicates cost: the accuracy that they make one believe, and the one on rows never seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from feilun.data.outcome import Notice
from feilun.metrics.intervals import wilson
from feilun.metrics.scores import Score

__all__ = ["Inflation", "sample_groups"]


@dataclass(frozen=True, slots=True)
class Inflation:
    """The linear baseline on the same `rows`, judged three ways.

    `naive`: a fifth drawn by lot judges, duplicates and all. `distinct`: the same after equal rows
    became one; None where there were none. `honest`: no near-duplicate of a judging row trains, and
    of each group one row judges.
    """

    rows: int
    naive: Score
    distinct: Score | None
    honest: Score

    @classmethod
    def of(
        cls, rows: int, naive: np.ndarray, distinct: np.ndarray | None, honest: np.ndarray
    ) -> Inflation:
        """From right (True) and wrong answers."""
        return cls(
            rows,
            wilson(int(naive.sum()), len(naive)),
            None if distinct is None else wilson(int(distinct.sum()), len(distinct)),
            wilson(int(honest.sum()), len(honest)),
        )

    def notice(self, *, near: bool = False) -> Notice:
        """The sentence; of the `near` duplicates alone, where equal rows became one before."""
        flattering = self.distinct if near and self.distinct else self.naive
        params = {
            "naive": flattering.value,
            "honest": self.honest.value,
            "low": self.honest.low,
            "high": self.honest.high,
            "rows": self.rows,
        }
        return Notice("audit.cost_near" if near else "audit.cost_duplicates", params)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Inflation:
        """What `to_json` wrote."""
        distinct = raw["distinct"]
        return cls(
            raw["rows"],
            Score(**raw["naive"]),
            Score(**distinct) if distinct else None,
            Score(**raw["honest"]),
        )


def sample_groups(group: np.ndarray, usable: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """At most `most` of the `usable` rows (bool), by whole groups drawn by lot, in their order: in
    a sample of single rows there would be fewer duplicates than there are."""
    rows = np.flatnonzero(usable)
    if len(rows) <= most:
        return rows
    heads, of_row = np.unique(group[rows], return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(heads))
    order = np.argsort(place[of_row], kind="stable")
    chosen: np.ndarray = np.sort(rows[order[:most]])
    return chosen
