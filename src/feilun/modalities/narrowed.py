"""Networks whose matrices are smaller than their configuration says: heads of attention and units
of feed-forward layers were left out.

A configuration of transformers has one number of heads and one width for all layers. What was left
out differs by layer, so it is written beside: under `KEY`, the shape of each smaller matrix. torch
is imported inside the functions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feilun.errors import InvalidData

__all__ = ["KEY", "is_narrowed", "keep", "restore"]

KEY = "narrowed"


def is_narrowed(config: Any) -> bool:
    """Whether the configuration speaks of smaller matrices."""
    return bool(getattr(config, KEY, None))


def keep(model: Any, name: str, outputs: Any = None, inputs: Any = None) -> None:
    """Puts in the place of the linear layer `name` of `model` one with these of its `outputs` and
    `inputs` alone (places as a tensor; None: all), and writes its shape into the configuration."""
    import torch

    old = model.get_submodule(name)
    weight, bias = old.weight.data, None if old.bias is None else old.bias.data
    if outputs is not None:
        weight = weight[outputs]
        bias = None if bias is None else bias[outputs]
    if inputs is not None:
        weight = weight[:, inputs]
    new = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    new.weight = torch.nn.Parameter(weight.clone().contiguous())
    if bias is not None:
        new.bias = torch.nn.Parameter(bias.clone().contiguous())
    _put(model, name, new)
    shapes = {**(getattr(model.config, KEY, None) or {}), name: list(weight.shape)}
    setattr(model.config, KEY, shapes)


def restore(model: Any, folder: Path) -> None:
    """Gives `model`, which was read from `folder` as its configuration says, the smaller matrices
    that lie there. Raises `InvalidData` where they do not."""
    shapes = getattr(model.config, KEY, None) or {}
    if not shapes:
        return
    import torch
    from safetensors import safe_open

    held: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                held[name] = opened.get_tensor(name).float()
    for name, (outputs, inputs) in shapes.items():
        weight, bias = (_found(held, f"{name}.{part}") for part in ("weight", "bias"))
        if weight is None or tuple(weight.shape) != (outputs, inputs):
            reason = f"{name}: {outputs} × {inputs}"
            raise InvalidData("tasks.base_unreadable", folder=folder, reason=reason)
        new = torch.nn.Linear(inputs, outputs, bias=bias is not None)
        new.weight = torch.nn.Parameter(weight)
        if bias is not None:
            new.bias = torch.nn.Parameter(bias)
        _put(model, _own(model, name), new)


def _found(held: dict[str, Any], name: str) -> Any:
    """The tensor under `name`, also where it was saved with or without the body's prefix."""
    near = (one for one in held if one.endswith(f".{name}") or name.endswith(f".{one}"))
    return held[name] if name in held else held.get(next(near, ""))


def _own(model: Any, name: str) -> str:
    """The layer's name in this model: a body that is read alone has no prefix."""
    names: set[str] = {one for one, _ in model.named_modules()}
    if name in names:
        return name
    near = [one for one in names if one and (one.endswith(f".{name}") or name.endswith(f".{one}"))]
    return max(near, key=len)


def _put(model: Any, name: str, layer: Any) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, layer)
