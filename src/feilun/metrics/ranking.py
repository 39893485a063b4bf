"""Scores of ranked lists: nDCG, recall and hit rate among the first k, mean reciprocal rank
(Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002), and how much of
a catalogue is shown at all."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import ClassVar, Self

import numpy as np

from feilun.metrics.measured import Measured
from feilun.metrics.scores import Score, percentiles

__all__ = ["Ranking"]


class Ranking(Measured):
    """Relevant items beside ranked ones, a row each; every relevant item is worth 1.

    A ranked list may be shorter than `k`; an item that it repeats counts where it stands first.
    nDCG divides by what the best list of `k` items would have. With the size of the `catalogue`,
    ``catalogue_coverage`` is the share of it that stands among the first `k` of any row; without
    it that is undefined. Raises `ValueError` for no rows,
    different lengths, and a row without relevant items, which no list can answer.
    """

    higher_is_better: ClassVar = {
        "ndcg": True,
        "recall": True,
        "hit_rate": True,
        "mrr": True,
        "catalogue_coverage": True,
    }

    def __init__(
        self,
        relevant: Sequence[Collection[Hashable]],
        ranked: Sequence[Sequence[Hashable]],
        k: int = 10,
        catalogue: int | None = None,
    ) -> None:
        if not len(relevant) or len(relevant) != len(ranked):
            raise ValueError(f"{len(relevant)} rows of relevant items, {len(ranked)} ranked lists")
        if not all(len(row) for row in relevant):
            raise ValueError("a row has no relevant item")
        self.relevant = [frozenset(row) for row in relevant]
        self.ranked = ranked
        self.k = k
        self.catalogue = catalogue
        self.rows = len(relevant)
        discount = 1 / np.log2(np.arange(k) + 2)
        best = np.cumsum(discount)
        sums = np.zeros((self.rows, 4))
        for row, (wanted, given) in enumerate(zip(self.relevant, ranked, strict=True)):
            places = [at for at, item in enumerate(dict.fromkeys(given)) if item in wanted]
            first = [at for at in places if at < k]
            sums[row] = (
                discount[first].sum() / best[min(len(wanted), k) - 1],
                len(first) / len(wanted),
                bool(first),
                1 / (places[0] + 1) if places else 0,
            )
        self._sums = sums
        self.gains: np.ndarray = sums[:, 0]
        """The nDCG of each row: float (rows,)."""
        numbers: dict[Hashable, int] = {}
        first_k = [list(dict.fromkeys(given))[:k] for given in ranked]
        self._shown = np.array(
            [numbers.setdefault(item, len(numbers)) for row in first_k for item in row], np.int64
        )
        self._lengths = np.array([len(row) for row in first_k])
        self._distinct = len(numbers)

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        means = weights @ self._sums / weights.sum(axis=1, dtype=np.float64)[:, None]
        found = dict(zip(self.higher_is_better, means.T, strict=False))
        return {**found, "catalogue_coverage": self._coverage(weights)}

    def _coverage(self, weights: np.ndarray) -> np.ndarray:
        found = np.full(len(weights), np.nan)
        if self.catalogue:
            for draw, weight in enumerate(weights):
                seen = np.zeros(self._distinct, dtype=bool)
                seen[self._shown[np.repeat(weight > 0, self._lengths)]] = True
                found[draw] = seen.sum() / max(self.catalogue, self._distinct)
        return found

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        kept = np.flatnonzero(rows).tolist()
        ranked = [self.ranked[i] for i in kept]
        return type(self)([self.relevant[i] for i in kept], ranked, self.k, self.catalogue)

    def hits(self, metric: str) -> np.ndarray | None:
        """Rows with a relevant item among the first k, for ``hit_rate``."""
        return self._sums[:, 2] > 0 if metric == "hit_rate" else None

    def interval(self, metric: str, value: float, drawn: np.ndarray, confidence: float) -> Score:
        """Of the coverage moved to its value: fewer different rows, as resampling draws them, show
        less of the catalogue."""
        if metric == "catalogue_coverage":
            drawn = np.clip(drawn + (value - drawn.mean()), 0, 1)
        return percentiles(value, drawn, confidence)

    def recall_at(self, k: int) -> float:
        """The mean share of a row's relevant items among the first `k`."""
        found = [
            len(wanted & set(given[:k])) / len(wanted)
            for wanted, given in zip(self.relevant, self.ranked, strict=True)
        ]
        return float(np.mean(found))
