"""How a network learns tags: the binary cross-entropy of every decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.families.objective import Objective
from feilun.families.tags.decisions import best_threshold, probabilities
from feilun.metrics.tags import Tags as Measures
from feilun.types import Encoded

if TYPE_CHECKING:
    import torch

__all__ = ["BinaryCrossEntropy", "softened"]


class BinaryCrossEntropy(Objective):
    """Of logits (rows, tags), each decision by itself. `smoothing` is the share of certainty that
    is taken from every decision."""

    def __init__(self, smoothing: float) -> None:
        self._smoothing = smoothing

    def targets(self, truth: Sequence[Any], batch: Sequence[Encoded]) -> np.ndarray:
        """float32 (rows, tags): 1 where a row has the tag, or what a teacher states of it. Tags
        without an output are left out."""
        marks = np.asarray(truth)[:, :-1]
        soft = np.issubdtype(marks.dtype, np.floating)
        return (marks if soft else marks > 0).astype(np.float32)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See `Objective`."""
        import torch

        wanted = targets * (1 - self._smoothing) + self._smoothing / 2
        return torch.nn.functional.binary_cross_entropy_with_logits(
            outputs, wanted, reduction="sum"
        )

    def divergence(
        self, one: torch.Tensor, other: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Of each decision by itself: the mean of both directions of the Kullback-Leibler
        divergence."""
        return ((one.sigmoid() - other.sigmoid()) * (one - other)).sum() / 2

    def validated(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[Measures, float]:
        """At the threshold with the best F1 over all tags: a network that says yes too rarely has
        learnt which tags are likelier all the same."""
        chances, marks = probabilities(outputs), targets > 0
        limit = best_threshold(chances.ravel(), marks.ravel()) if marks.any() else 0.5
        stated = np.where(marks, chances, 1 - chances)
        measured = Measures(*(_counted(one) for one in (marks, chances >= limit)))
        return measured, float(-np.log(np.maximum(stated, 1e-9)).mean())


def softened(raw: np.ndarray, truth: np.ndarray, known: np.ndarray, share: float) -> np.ndarray:
    """What a teacher states by `raw` logits (rows, tags), mixed with the `truth` (rows, tags + 1)
    of the `known` rows: float32, the last column of tags without an output 0."""
    stated = probabilities(raw)
    marks = (np.asarray(truth)[:, :-1] > 0).astype(np.float64)
    mixed = np.where(known[:, None], share * stated + (1 - share) * marks, stated)
    return np.pad(mixed.astype(np.float32), ((0, 0), (0, 1)))


def _counted(marks: np.ndarray) -> np.ndarray:
    """As `Tags.truth` has them: with a last column for tags that have none of their own."""
    return np.pad(marks.astype(np.int16), ((0, 0), (0, 1)))
