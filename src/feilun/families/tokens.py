"""How a network learns to write: the cross-entropy of each next token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.families.objective import IGNORED, Objective
from feilun.metrics.likelihood import Likelihood

if TYPE_CHECKING:
    import torch

__all__ = ["TokenCrossEntropy"]


class TokenCrossEntropy(Objective):
    """Of logits (rows, tokens, vocabulary) and the ids of the tokens that belong there (rows,
    tokens). `sizes` are the bytes of each token's text, int64 (vocabulary,); `smoothing` is the
    share of certainty that is taken from the right token."""

    metric = "bits_per_byte"

    def __init__(self, sizes: np.ndarray, smoothing: float = 0.0) -> None:
        self._sizes = sizes
        self._smoothing = smoothing

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See `Objective`."""
        import torch

        counts = targets != IGNORED
        # Prompts are most of the tokens, and a row of logits has as many numbers as there are
        # words: only what is learnt goes further.
        return torch.nn.functional.cross_entropy(
            outputs[counts], targets[counts], label_smoothing=self._smoothing, reduction="sum"
        )

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[int, int]:
        """Tokens that are the most probable ones."""
        counts = targets != IGNORED
        return int((outputs[counts].argmax(dim=-1) == targets[counts]).sum()), int(counts.sum())

    def reduced(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """float64 (rows, 4): nats, bytes, tokens, right tokens; see `Likelihood`."""
        import torch

        counts = targets != IGNORED
        logits, wanted = outputs[counts].float(), targets[counts]
        sizes = torch.from_numpy(self._sizes).to(wanted.device)
        each = torch.stack(
            [
                torch.nn.functional.cross_entropy(logits, wanted, reduction="none").double(),
                sizes[wanted].double(),
                torch.ones_like(wanted).double(),
                (logits.argmax(dim=-1) == wanted).double(),
            ],
            dim=-1,
        )
        rows = torch.nonzero(counts)[:, 0]
        found = torch.zeros(len(targets), 4, dtype=torch.float64, device=wanted.device)
        return found.index_add_(0, rows, each)

    def validated(self, outputs: Any, targets: np.ndarray) -> tuple[Likelihood, float]:
        """See `Objective`; the loss is the mean of all tokens, in nats."""
        sums = np.asarray(outputs, np.float64)
        return Likelihood(*sums.T), float(sums[:, 0].sum() / max(1.0, sums[:, 2].sum()))
