"""How a network learns one label of several: the cross-entropy of its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from feilun.families.classes.classification import Classified
from feilun.families.objective import Objective
from feilun.metrics.probabilities import softmax

if TYPE_CHECKING:
    import torch

__all__ = ["CrossEntropy", "SoftCrossEntropy", "label_weights"]


class CrossEntropy(Objective):
    """Of logits (rows, labels) and positions of labels. `weights` (labels,) are float32, None for
    equal ones; `smoothing` is the share of certainty that is taken from the right label."""

    def __init__(self, weights: np.ndarray | None, smoothing: float) -> None:
        self._weights = weights
        self._smoothing = smoothing

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See `Objective`."""
        import torch

        weights = None if self._weights is None else torch.from_numpy(self._weights)
        return torch.nn.functional.cross_entropy(
            outputs,
            targets,
            weight=None if weights is None else weights.to(outputs.device),
            label_smoothing=self._smoothing,
            reduction="sum",
        )

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[int, int]:
        """Rows whose label is the most probable one."""
        return int((outputs.argmax(dim=-1) == targets).sum()), len(targets)

    def validated(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[Classified, float]:
        """With the log-loss, neither weighed nor smoothed."""
        probabilities = softmax(outputs)
        stated = probabilities[np.arange(len(targets)), targets]
        return Classified(targets, probabilities), float(-np.log(np.maximum(stated, 1e-9)).mean())


class SoftCrossEntropy(CrossEntropy):
    """Of logits (rows, labels) and probabilities (rows, labels): what a teacher states."""

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[int, int]:
        """Rows whose most probable label is the target's."""
        return super().right(outputs, targets.argmax(dim=-1))

    def validated(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[Classified, float]:
        """See `CrossEntropy`."""
        return super().validated(outputs, targets.argmax(axis=-1))


def label_weights(
    truth: np.ndarray, count: int, balance: str, own: np.ndarray | None = None
) -> np.ndarray | None:
    """The weight of each of `count` labels, float32: with ``balanced`` the same total for every
    label, mean 1 over the rows, and 0 for labels without a row. None for equal ones. Where `own`
    are fewer rows than `truth`, each label keeps the weight that it has in `own`."""
    copied = own is not None and len(own) != len(truth)
    rows = np.bincount(truth, minlength=count).astype(np.float64)
    if balance == "balanced":
        present = rows > 0
        total = len(truth) / max(1, int(present.sum()))
        weights: np.ndarray = np.divide(total, rows, where=present, out=np.zeros(count))
    elif copied:
        shares = np.bincount(own, minlength=count) / len(own)  # type: ignore[arg-type]
        all_ = rows / len(truth)
        weights = np.divide(shares, all_, where=all_ > 0, out=np.zeros(count))
    else:
        return None
    return weights.astype(np.float32)
