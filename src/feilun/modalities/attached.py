"""What stands beside the layers of a transformers model and cannot be merged into their weights:
prefixes of keys and values, and bottleneck adapters.

A version keeps them in `FOLDER`; `restore` puts them back into the model that was read from there,
so that every engine and converter that runs in torch or traces it has them. torch is imported
inside the functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.errors import InvalidData

if TYPE_CHECKING:
    import torch

__all__ = [
    "FOLDER",
    "add_bottlenecks",
    "add_prefixes",
    "blocks",
    "detach",
    "is_attached",
    "keys_and_values",
    "names",
    "restore",
]

FOLDER = "attached"
_FILE = "weights.safetensors"
_KEY, _VALUE, _NECK = "prefix_key", "prefix_value", "bottleneck"
_PREFIXED, _WATCHED, _PLAIN = "feilun_prefix", "feilun_watch", "sdpa"


def is_attached(folder: Path) -> bool:
    """Whether the version in `folder` has anything beside its layers."""
    return (folder / FOLDER / _FILE).is_file()


def names(model: Any) -> list[str]:
    """The names, from `model` on, of all parameters that were attached to it."""
    parts = {_KEY, _VALUE, _NECK}
    return [name for name, _ in model.named_parameters() if parts & set(name.split("."))]


def add_prefixes(model: Any, found: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Gives each attention of the body of `model` that `found` names its prefix: keys and values
    (heads, length, width) that every token attends to as if they stood before the first (Li and
    Liang, 2021, "Prefix-Tuning"). They have no positions of their own and move nobody else's."""
    import torch

    _interface(_PREFIXED, _prefixed)
    for name, (key, value) in found.items():
        attention = model.base_model.get_submodule(name)
        attention.register_parameter(_KEY, torch.nn.Parameter(key.clone()))
        attention.register_parameter(_VALUE, torch.nn.Parameter(value.clone()))
    model.set_attn_implementation(_PREFIXED)


def add_bottlenecks(model: Any, widths: Mapping[str, tuple[int, int]]) -> None:
    """Puts after each block of the body of `model` that `widths` names (its width, and that of the
    bottleneck) a bottleneck adapter (Houlsby and others, 2019; one a block, as in Pfeiffer and
    others, 2021). It begins as the identity."""
    for name, (width, inner) in widths.items():
        block = model.base_model.get_submodule(name)
        block.add_module(_NECK, _bottleneck()(width, inner))
        block.register_forward_hook(_through)


def keys_and_values(
    model: Any, arrays: Mapping[str, torch.Tensor]
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What each attention of the body of `model` looks at while it reads `arrays`, a batch of one:
    keys and values (heads, places, width), by the attention's name.

    Raises `InvalidData` for a network whose attention cannot be reached.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def watched(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        seen[id(module)] = key[0].float().clone(), value[0].float().clone()
        return sdpa_attention_forward(module, query, key, value, mask, **options)

    before, training = getattr(model.config, "_attn_implementation", None), model.training
    if before == "eager" or not model._can_set_attn_implementation():
        raise InvalidData("tasks.no_attention", kind=type(model).__name__)
    _interface(_WATCHED, watched)
    model.set_attn_implementation(_WATCHED)
    with torch.inference_mode():
        model.eval()(**arrays)
    model.set_attn_implementation(before)
    model.train(training)
    found = {
        name: (seen[id(module)][0].clone(), seen[id(module)][1].clone())
        for name, module in model.base_model.named_modules()
        if id(module) in seen
    }
    if not found:
        raise InvalidData("tasks.no_attention", kind=type(model).__name__)
    return found


def blocks(model: Any, arrays: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """The width of what each block of the body of `model` gives to the next, by the block's name,
    seen while it reads `arrays`. Raises `InvalidData` for a network without such blocks."""
    import torch
    from transformers.modeling_layers import GradientCheckpointingLayer

    found: dict[str, int] = {}
    hooks = []
    for name, module in model.base_model.named_modules():
        if isinstance(module, GradientCheckpointingLayer):

            def seen(_: Any, given: Any, out: Any, name: str = name) -> None:
                first = out[0] if isinstance(out, tuple) else out
                if first.ndim == 3:
                    found[name] = int(first.shape[-1])

            hooks.append(module.register_forward_hook(seen))
    training = model.training
    with torch.inference_mode():
        model.eval()(**arrays)
    model.train(training)
    for hook in hooks:
        hook.remove()
    if not found:
        raise InvalidData("tasks.no_blocks", kind=type(model).__name__)
    return found


def detach(model: Any, folder: Path) -> None:
    """Takes everything off `model`, which is as transformers made it afterwards, and keeps it in
    the version `folder`; where there is nothing, nothing is written."""
    from safetensors.torch import save_file

    body = model.base_model
    kept = {
        name: value.detach().float().contiguous()
        for name, value in body.named_parameters()
        if {_KEY, _VALUE, _NECK} & set(name.split("."))
    }
    if not kept:
        return
    (folder / FOLDER).mkdir(exist_ok=True)
    save_file(kept, folder / FOLDER / _FILE)
    for module in body.modules():
        for name in (_KEY, _VALUE):
            module._parameters.pop(name, None)
        if module._modules.pop(_NECK, None) is not None:
            hooks = module._forward_hooks
            for number in [n for n, hook in hooks.items() if hook is _through]:
                del hooks[number]
    if model.config._attn_implementation == _PREFIXED:
        model.set_attn_implementation(_PLAIN)


def restore(model: Any, folder: Path) -> None:
    """Puts back into `model`, read from the version `folder`, what stands beside its layers there.

    Raises `InvalidData` where it does not belong to this model.
    """
    import torch

    if not is_attached(folder):
        return
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / FOLDER / _FILE
    try:
        kept = load_file(file)
        keys = {name.rpartition(".")[0] for name in kept if name.endswith(f".{_KEY}")}
        add_prefixes(
            model, {one: (kept[f"{one}.{_KEY}"], kept[f"{one}.{_VALUE}"]) for one in keys}
        ) if keys else None
        end = f".{_NECK}.down.weight"
        downs = {name.removesuffix(end): w.shape for name, w in kept.items() if name.endswith(end)}
        add_bottlenecks(model, {name: (shape[1], shape[0]) for name, shape in downs.items()})
        own = dict(model.base_model.named_parameters())
        with torch.no_grad():
            for name, value in kept.items():
                own[name].copy_(value)
    except (OSError, SafetensorError, KeyError, AttributeError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InvalidData("tasks.base_unreadable", folder=folder, reason=reason) from None
    model.eval()


def _interface(name: str, attend: Any) -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, _mask)


def _mask(*places: Any, **options: Any) -> Any:
    """The mask of torch's fused attention, always written out where it is causal: what is left to
    the kernel would count a prefix as later tokens."""
    from transformers.masking_utils import sdpa_mask

    return sdpa_mask(*places, **{**options, "allow_is_causal_skip": False})


def _prefixed(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> Any:
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    before = getattr(module, _KEY, None)
    if before is not None:
        size, rows = before.shape[1], key.shape[0]
        first = getattr(module, _VALUE)
        key = torch.cat([before.to(key.dtype).expand(rows, -1, -1, -1), key], dim=2)
        value = torch.cat([first.to(value.dtype).expand(rows, -1, -1, -1), value], dim=2)
        if attention_mask is not None:
            seen = attention_mask.new_ones if attention_mask.dtype == torch.bool else None
            fill = seen or attention_mask.new_zeros
            attention_mask = torch.cat(
                [fill((*attention_mask.shape[:-1], size)), attention_mask], dim=-1
            )
        bias = options.get("position_bias")
        if bias is not None:  # T5's, which is of places
            none = bias.new_zeros((*bias.shape[:-1], size))
            options["position_bias"] = torch.cat([none, bias], dim=-1)
    if attention_mask is None:
        options["is_causal"] = False
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


def _through(block: Any, given: Any, out: Any) -> Any:
    """The output of `block` after its adapter."""
    neck = block._modules[_NECK]
    return (neck(out[0]), *out[1:]) if isinstance(out, tuple) else neck(out)


def _bottleneck() -> type[Any]:
    import torch

    class Bottleneck(torch.nn.Module):
        def __init__(self, width: int, inner: int) -> None:
            super().__init__()
            self.down = torch.nn.Linear(width, inner)
            self.up = torch.nn.Linear(inner, width)
            torch.nn.init.normal_(self.down.weight, std=0.02)
            torch.nn.init.zeros_(self.down.bias)
            torch.nn.init.zeros_(self.up.weight)
            torch.nn.init.zeros_(self.up.bias)

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            inner = torch.nn.functional.gelu(self.down(hidden))
            added: torch.Tensor = hidden + self.up(inner)
            return added

    return Bottleneck
