"""Steps down a loss, for encoders whose batches are no rows with a target each.

What `trainer` does for rows by transformers' Trainer, methods whose loss is of pairs or passages do
by themselves: `Descent` is their optimizer, `answers` reads a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.engines.batching import plan
from feilun.errors import UsageError
from feilun.tasks.base import Encoded, Processor

if TYPE_CHECKING:
    import torch

__all__ = ["Descent", "answers"]

_GROUP = 16  # rows computed at once: of 64 messages padded together more than half is padding
_WARMUP = 10  # a tenth of the steps
_DECAY = 0.01
_LONGEST = 1.0  # of the gradient of a step


class Descent:
    """AdamW on what learns of `module`; the step size rises to `rate` in the first tenth of the
    `steps` and falls to nothing after it."""

    def __init__(self, module: Any, rate: float, steps: int) -> None:
        import torch

        self._learns = [one for one in module.parameters() if one.requires_grad]
        self._rate = rate
        self._optimizer = torch.optim.AdamW(self._learns, lr=rate, weight_decay=_DECAY, fused=True)
        warm = max(1, steps // _WARMUP)

        def scale(step: int) -> float:
            return min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))

        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, scale)

    def step(self, loss: torch.Tensor) -> float:
        """One step down the gradient of `loss`, whose value is returned. Raises `UsageError` where
        it is no number."""
        import torch

        value = float(loss.detach())
        if not np.isfinite(value):
            raise UsageError("training.diverged", learning_rate=self._rate)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._learns, _LONGEST)
        self._optimizer.step()
        self._schedule.step()
        return value


def answers(
    module: Any, processor: Processor, batch: Sequence[Encoded], half: bool
) -> torch.Tensor:
    """What `module` gives for each row of `batch`, float32, in bfloat16 where `half` says so. Rows
    of like length are computed together, so that there is little padding."""
    import torch

    groups = plan([one.cost for one in batch], _GROUP)
    found = []
    for places in groups:
        arrays = processor.collate([batch[place] for place in places.tolist()])
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found.append(module(**tensors).float())
    order = np.argsort(np.concatenate(groups))
    return torch.cat(found)[torch.from_numpy(order)]
