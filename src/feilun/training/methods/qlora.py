"""Low-rank adapters beside a base in four bits (Dettmers and others, 2023, "QLoRA: Efficient
Finetuning of Quantized LLMs"): the weights that stay take an eighth of the memory while the
adapters learn. That is for graphics cards: a process on a processor reads the base whole, merges
into it whole, and its peak is that of `lora`.

The four bits are bitsandbytes' NormalFloat with quantized scales. At the end the adapters are
merged into what the four bits stand for, not into the base as it was: that is what they learnt
beside. An update rounds the merged weights to four bits again.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, ClassVar

from feilun.messages import t
from feilun.tasks.base import TaskBase
from feilun.training.adapters import Peft, linear_layers
from feilun.training.batches import Examples
from feilun.training.job import TrainJob
from feilun.training.methods import lora

__all__ = ["Method", "Settings"]


class Settings(lora.Settings):
    """``[training.qlora]``."""


class Method(lora.Method):
    """As `lora`, beside weights of four bits."""

    on_request = True

    def supports(self, task: TaskBase, base: Path | str | None) -> str | None:
        """Where `lora` can be used and bitsandbytes is installed."""
        if (reason := super().supports(task, base)) is not None:
            return reason
        if importlib.util.find_spec("bitsandbytes") is None:
            return t("training.reason_no_four_bits")
        return None

    def adaptation(self, job: TrainJob, settings: lora.Settings) -> Peft:
        return _InFourBits(job, super().adaptation(job, settings).config)


class _InFourBits(Peft):
    above_frozen: ClassVar[bool] = False  # frozen layers would have answered in float32

    def wrap(self, model: Any, rows: Examples, steps: int) -> Any:
        """Raises `InvalidData` for a network without linear layers."""
        for name in linear_layers(self._job, model)[0]:
            model.set_submodule(name, _reduced(model.get_submodule(name)))
        model.is_loaded_in_4bit = True  # peft asks for it
        return super().wrap(model, rows, steps)

    def merged(self, model: Any) -> Any:
        from peft.tuners.lora import LoraLayer

        for name, layer in list(model.named_modules()):
            if isinstance(layer, LoraLayer):
                model.set_submodule(name, _restored(layer))
        plain = super().merged(model)
        del plain.is_loaded_in_4bit
        return plain


def _reduced(layer: Any) -> Any:
    """A linear layer of torch in four bits."""
    from bitsandbytes.nn import Linear4bit

    reduced = Linear4bit(
        layer.in_features, layer.out_features, bias=layer.bias is not None, quant_type="nf4"
    )
    reduced.load_state_dict(layer.state_dict())
    # Processors with bfloat16 would pack the weights in another way while they judge, and answer
    # otherwise than while they learn.
    reduced.support_avx512bf16_for_cpu = False
    return reduced.to(layer.weight.device)


def _restored(layer: Any) -> Any:
    """The linear layer of torch that answers as an adapted one of four bits."""
    import torch
    from bitsandbytes.functional import dequantize_4bit

    base = layer.get_base_layer()
    weight = dequantize_4bit(base.weight.data, base.weight.quant_state).float()
    weight += sum(layer.get_delta_weight(name) for name in layer.active_adapters)
    plain = torch.nn.Linear(base.in_features, base.out_features, bias=base.bias is not None)
    plain.weight = torch.nn.Parameter(weight, requires_grad=False)
    plain.bias = base.bias
    return plain
