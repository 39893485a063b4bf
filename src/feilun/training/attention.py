"""Attention that learns twice as fast on the CPU.

torch's fused attention in bfloat16 is fast forward but slow backward (measured: 144 ms against 38
ms in float32 for 64 rows of 128 tokens, 12 heads). So where gradients are wanted, this one step of
an otherwise bfloat16 training is computed in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["restore", "use"]

_NAME = "feilun_float32_sdpa"
_PLAIN = "sdpa"


def use(model: Any) -> None:
    """Makes a transformers model that attends by torch's fused kernels learn with this one."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if getattr(model.config, "_attn_implementation", None) != _PLAIN:
        return
    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    model.set_attn_implementation(_NAME)


def restore(model: Any) -> None:
    """Undoes `use`."""
    if getattr(model.config, "_attn_implementation", None) == _NAME:
        model.set_attn_implementation(_PLAIN)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward as sdpa

    if not torch.is_grad_enabled():
        found, _ = sdpa(module, query, key, value, attention_mask, **options)
        return found, None
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    if "position_bias" in options:  # T5's, which it adds to the mask
        bias = options["position_bias"]
        options["position_bias"] = None if bias is None else bias.float()
    # Autocast would turn the float32 back into bfloat16.
    with torch.autocast(query.device.type, enabled=False):
        found, _ = sdpa(
            module, query.float(), key.float(), value.float(), attention_mask, **options
        )
    return found.to(query.dtype), None
