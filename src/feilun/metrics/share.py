"""The share of rows that are right: all that many questions need to know of a version's answers."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from feilun.metrics.intervals import wilson
from feilun.metrics.measured import Measured
from feilun.metrics.scores import Score

__all__ = ["Share"]


class Share(Measured):
    """Right or wrong row by row, as the metric ``accuracy``; `right` is boolean (rows,). Raises
    `ValueError` for no rows."""

    higher_is_better: ClassVar = {"accuracy": True}

    def __init__(self, right: np.ndarray) -> None:
        self.right = np.asarray(right, dtype=bool)
        if self.right.ndim != 1 or not len(self.right):
            raise ValueError(f"right or wrong is needed for each row, not shape {self.right.shape}")
        self.rows = len(self.right)

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        return {"accuracy": weights @ self.right.astype(weights.dtype) / weights.sum(axis=1)}

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        return type(self)(self.right[rows])

    def hits(self, metric: str) -> np.ndarray | None:
        """The rows that are right."""
        return self.right if metric == "accuracy" else None

    def interval(self, metric: str, value: float, drawn: np.ndarray, confidence: float) -> Score:
        """Wilson's."""
        return wilson(int(self.right.sum()), self.rows, confidence)
