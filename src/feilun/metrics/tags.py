"""Scores of sets of tags: F1 over all decisions together (micro) and as the mean over tags (macro),
the share of rows whose set is exactly right, and the share of wrong decisions (Hamming loss)."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from feilun.metrics.intervals import wilson
from feilun.metrics.measured import Measured
from feilun.metrics.scores import Score, percentiles

__all__ = ["TagScores", "Tags"]

TagScores = tuple[int, int, int, Score | None, Score | None, Score | None]
"""Of one tag: rows that have it, rows answered with it, rows of both; precision (None where it was
never answered), recall (None where no row has it), and F1 (None without either)."""


class Tags(Measured):
    """True sets of tags beside answered ones.

    `truth` and `answers` are (rows, tags + 1), 1 where a row has the tag. Their last column counts
    the tags of a row that have no column of their own: truly there they were missed, and answered
    they are wrong. ``macro_f1`` is the mean over the tags that occur among truth or answers; a
    share of nothing is 0. Raises `ValueError` for no rows and different shapes.
    """

    higher_is_better: ClassVar = {
        "micro_f1": True,
        "macro_f1": True,
        "subset_accuracy": True,
        "hamming_loss": False,
    }

    def __init__(self, truth: np.ndarray, answers: np.ndarray) -> None:
        self.truth, self.answers = np.asarray(truth), np.asarray(answers)
        if self.truth.ndim != 2 or self.truth.shape != self.answers.shape or not len(self.truth):
            raise ValueError(f"truth of shape {self.truth.shape}, answers of {self.answers.shape}")
        self.rows = len(self.truth)
        both = np.minimum(self.truth, self.answers)
        both[:, -1] = 0  # tags without a column are never the same one
        self._both = both
        self.faults: np.ndarray = (self.truth + self.answers - 2 * both).sum(axis=1)
        self._exact = self.faults == 0
        width = max(1, self.truth.shape[1] - 1)
        sums = (both, self.truth, self.answers)
        self._sums = np.stack(
            [*(one.sum(axis=1) for one in sums), self._exact, self.faults / width], axis=1
        ).astype(np.float64)
        occur = np.flatnonzero((self.truth[:, :-1] | self.answers[:, :-1]).any(axis=0))
        self._each = [one[:, occur].astype(np.float32) for one in sums]

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        right, true, answered, exact, wrong = (weights @ self._sums).T
        total = weights.sum(axis=1)
        hits, have, given = (weights @ one for one in self._each)
        counted = np.maximum(((have + given) > 0).sum(axis=1), 1)
        return {
            "micro_f1": 2 * right / np.maximum(true + answered, 1),
            "macro_f1": (2 * hits / np.maximum(have + given, 1)).sum(axis=1) / counted,
            "subset_accuracy": exact / total,
            "hamming_loss": wrong / total,
        }

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        return type(self)(self.truth[rows], self.answers[rows])

    def hits(self, metric: str) -> np.ndarray | None:
        """Rows whose set is exactly right, for ``subset_accuracy``."""
        return self._exact if metric == "subset_accuracy" else None

    def interval(self, metric: str, value: float, drawn: np.ndarray, confidence: float) -> Score:
        """Wilson's for ``subset_accuracy``, else percentiles of the draws. Means of F1 fall under
        resampling where tags are rare: the fall is taken back."""
        if metric == "subset_accuracy":
            return wilson(float(self._exact.sum()), self.rows, confidence)
        if metric == "macro_f1":
            drawn = np.clip(drawn + (value - drawn.mean()), 0, 1)
        return percentiles(value, drawn, confidence)

    def each(self, confidence: float = 0.95) -> list[TagScores]:
        """The scores of each tag that has a column, in their order; with Wilson's intervals, F1
        through the share of agreement, of which it is a function."""
        counts = (
            one[:, :-1].sum(axis=0).tolist() for one in (self.truth, self.answers, self._both)
        )
        found: list[TagScores] = []
        for have, given, hits in zip(*counts, strict=True):
            agreed = wilson(hits, have + given - hits, confidence)
            f1 = Score(*(2 * x / (1 + x) for x in (agreed.value, agreed.low, agreed.high)))
            found.append(
                (
                    have,
                    given,
                    hits,
                    wilson(hits, given, confidence) if given else None,
                    wilson(hits, have, confidence) if have else None,
                    f1 if have + given else None,
                )
            )
        return found
