"""The last layer of a network that is trained: where it is, and the units that it answers in."""

from __future__ import annotations

from typing import Any

from feilun.families.objective import Objective

__all__ = ["name_of", "to_given", "to_learnt"]


def name_of(model: Any) -> str:
    """The name of the layer that gives the outputs: the last linear one with as many as the
    configuration of the transformers `model` names."""
    import torch

    names: list[str] = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer.out_features == model.config.num_labels
    ]
    return names[-1]


def to_learnt(model: Any, objective: Objective) -> None:
    """Turns a network that answers in the units of the targets into one that answers in those that
    `objective` learns in."""
    if objective.scale is not None:
        mean, spread = objective.scale
        _change(model, 1 / spread, -mean / spread)


def to_given(model: Any, objective: Objective) -> None:
    """The reverse of `to_learnt`."""
    if objective.scale is not None:
        mean, spread = objective.scale
        _change(model, spread, mean)


def _change(model: Any, factor: float, shift: float) -> None:
    import torch

    layer = model.get_submodule(name_of(model))
    with torch.no_grad():
        layer.weight.mul_(factor)
        layer.bias.mul_(factor).add_(shift)
