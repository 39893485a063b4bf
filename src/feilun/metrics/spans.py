"""Scores of labelled spans of text: precision, recall and F1 of spans that match exactly, over all
types together (micro average), as the CoNLL-2003 shared task counts them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar, Self

import numpy as np

from feilun.metrics.measured import Measured

__all__ = ["Span", "Spans"]

Span = tuple[int, int, str]
"""First character, the one after the last, and the type."""


class Spans(Measured):
    """True spans beside predicted ones, a collection a row. A span counts once however often it is
    given, and is right when start, end and type are. Without any true span recall and F1 are 0.
    Raises `ValueError` for no rows and different lengths.
    """

    higher_is_better: ClassVar = {"f1": True, "precision": True, "recall": True, "exact_rows": True}

    def __init__(
        self, truth: Sequence[Collection[Span]], predicted: Sequence[Collection[Span]]
    ) -> None:
        if not len(truth) or len(truth) != len(predicted):
            raise ValueError(f"{len(truth)} rows of true spans, {len(predicted)} of predicted ones")
        self.truth = [frozenset(row) for row in truth]
        self.predicted = [frozenset(row) for row in predicted]
        self.rows = len(truth)
        pairs = list(zip(self.truth, self.predicted, strict=True))
        self._exact = np.array([true == found for true, found in pairs])
        self._sums = np.array(
            [(len(true & found), len(true), len(found), true == found) for true, found in pairs],
            dtype=np.float64,
        )

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        right, true, found, exact = (weights @ self._sums).T
        return {
            "f1": _ratio(2 * right, true + found),
            "precision": _ratio(right, found),
            "recall": _ratio(right, true),
            "exact_rows": exact / weights.sum(axis=1),
        }

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        kept = np.flatnonzero(rows).tolist()
        return type(self)([self.truth[i] for i in kept], [self.predicted[i] for i in kept])

    def hits(self, metric: str) -> np.ndarray | None:
        """Rows whose spans are all right and none too many, for ``exact_rows``."""
        return self._exact if metric == "exact_rows" else None

    def by_type(self) -> dict[str, Spans]:
        """The same rows with the spans of one type alone, for each type that occurs."""
        types = {span[2] for row in [*self.truth, *self.predicted] for span in row}
        return {
            name: Spans(
                [[span for span in row if span[2] == name] for row in self.truth],
                [[span for span in row if span[2] == name] for row in self.predicted],
            )
            for name in sorted(types)
        }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    result: np.ndarray = part / np.maximum(whole, 1)
    return result
