"""What gradients teach a network: an objective, made once a training by `Family.objective`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.metrics.measured import Measured
from feilun.types import Encoded

if TYPE_CHECKING:
    import torch

__all__ = ["IGNORED", "Objective"]

IGNORED = -100
"""The target of a place that counts for nothing: torch's ``ignore_index``."""


class Objective(ABC):
    """Targets as arrays, the loss that pulls a network's outputs towards them, and the score by
    which epochs are compared."""

    metric: str | None = None
    """The metric of `validated` by which epochs are compared, where answers are only written after
    the training; None for the task's primary one."""
    scale: tuple[float, float] | None = None
    """Mean and spread of what is learnt, where a network learns in other units than it answers in:
    its outputs times the spread plus the mean are what it shall give once it is trained."""

    def targets(self, truth: Sequence[Any], batch: Sequence[Encoded]) -> np.ndarray:
        """The `truth` (see `Family.truth`) of the rows of `batch` as one array; `IGNORED` in it
        counts for nothing. Default: the truth itself."""
        return np.asarray(truth)

    @abstractmethod
    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of all `targets` that count, added up. `outputs` are float32, rows first."""

    def divergence(
        self, one: torch.Tensor, other: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """How far apart two answers to the same rows are, added up over all `targets` that count:
        0 where they are equal. Default: of logits over the last axis, the mean of both directions
        of the Kullback-Leibler divergence."""
        a, b = one.log_softmax(-1), other.log_softmax(-1)
        each = ((a.exp() - b.exp()) * (a - b)).sum(-1) / 2
        return each[targets != IGNORED].sum() if targets.shape == each.shape else each.sum()

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[int, int] | None:
        """How many of a batch are right, and how many there are, which is shown as accuracy while
        a network learns; None where answers are not right or wrong."""
        return None

    def reduced(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What `validated` needs of the outputs for one batch, rows first: of logits over a
        vocabulary not all can be held. Default: the outputs."""
        return outputs

    @abstractmethod
    def validated(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[Measured, float]:
        """The measures of all validation rows, from what `reduced` left of their outputs, and a
        mean loss that decides between epochs whose metric is the same."""
