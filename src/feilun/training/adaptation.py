"""Which weights of a network learn: all, or those of an adapter that stays beside it or is merged
into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from feilun.training import heads

if TYPE_CHECKING:
    import torch

    from feilun.training.batches import Examples

__all__ = ["Adaptation", "freeze"]


class Adaptation:
    """Here all weights learn."""

    above_frozen: ClassVar[bool] = True
    """Whether lower layers may be frozen (`feilun.training.frozen`): what learns stands above."""

    def wrap(self, model: Any, rows: Examples, steps: int) -> Any:
        """What the Trainer trains of a transformers model, from `rows` in so many `steps`."""
        return model

    def unwrap(self, model: Any) -> Any:
        """The transformers model that is saved, of what `wrap` gave."""
        return model

    def penalty(self, model: Any) -> torch.Tensor | None:
        """What is added to the loss of each step."""
        return None

    def stepped(self, model: Any, step: int) -> None:
        """Called after each step of the optimizer, while its gradients are there. What has to
        survive a kill is kept in the model's buffers."""


def freeze(model: Any, learning: set[str]) -> None:
    """Lets the parameters of these names learn and the head, where there is one; no other."""
    head = None if model.get_output_embeddings() is not None else heads.name_of(model)
    for name, parameter in model.named_parameters():
        own = head is not None and name.startswith(f"{head}.")
        parameter.requires_grad_(own or name in learning)
