"""Scores of ranked lists: nDCG, recall and hit rate among the first k, and mean reciprocal rank
(Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002)."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import ClassVar, Self

import numpy as np

from feilun.metrics.measured import Measured

__all__ = ["Ranking"]


class Ranking(Measured):
    """Relevant items beside ranked ones, a row each; every relevant item is worth 1.

    A ranked list may be shorter than `k`; an item that it repeats counts where it stands first.
    nDCG divides by what the best list of `k` items would have. Raises `ValueError` for no rows,
    different lengths, and a row without relevant items, which no list can answer.
    """

    higher_is_better: ClassVar = {"ndcg": True, "recall": True, "hit_rate": True, "mrr": True}

    def __init__(
        self,
        relevant: Sequence[Collection[Hashable]],
        ranked: Sequence[Sequence[Hashable]],
        k: int = 10,
    ) -> None:
        if not len(relevant) or len(relevant) != len(ranked):
            raise ValueError(f"{len(relevant)} rows of relevant items, {len(ranked)} ranked lists")
        if not all(len(row) for row in relevant):
            raise ValueError("a row has no relevant item")
        self.relevant = [frozenset(row) for row in relevant]
        self.ranked = ranked
        self.k = k
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

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        means = weights @ self._sums / weights.sum(axis=1, dtype=np.float64)[:, None]
        return dict(zip(self.higher_is_better, means.T, strict=True))

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        kept = np.flatnonzero(rows).tolist()
        return type(self)([self.relevant[i] for i in kept], [self.ranked[i] for i in kept], self.k)

    def hits(self, metric: str) -> np.ndarray | None:
        """Rows with a relevant item among the first k, for ``hit_rate``."""
        return self._sums[:, 2] > 0 if metric == "hit_rate" else None
