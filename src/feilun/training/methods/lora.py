"""Low-rank adapters: the base stays, small matrices beside its layers learn. For bases whose full
fine-tuning does not fit into memory.

The adapters are merged into the weights at the end, so that the version is a plain transformers
folder; ``adapter/`` keeps them on their own.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from feilun.errors import InvalidData
from feilun.training import finetune
from feilun.training.body import describe
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "rung", "settle", "train"]

rung = 2
needs_base = True
needs_torch = True

_RATE = 1e-3


class Settings(finetune.FineTuneSettings):
    """``[training.lora]``."""

    rank: int = Field(16, ge=1, le=512, description="rank of the adapters' matrices")
    alpha: int = Field(32, ge=1, description="weight of the adapters, as a multiple of 1 / rank")
    adapter_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the adapters' inputs dropped while learning"
    )


def settle(job: TrainJob, settings: Settings) -> Settings:
    """`settings` with what is left open fixed by the base."""
    return finetune.settle(job, settings, _RATE)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """As full, but gradients and moments for the adapters alone, and two thirds of the work."""
    body = describe(job.previous or job.base)
    learning = 12 * body.layers * settings.rank * body.width
    share = min(1.0, learning / max(1, body.parameters))
    return finetune.estimate(job, settle(job, settings), rows, machine, trained=share)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Trains adapters and the head; see `feilun.training.finetune`."""
    settings = settle(job, settings)

    def wrap(model: Any) -> Any:
        from peft import LoraConfig, get_peft_model

        head = _head(model)
        layers = [
            name
            for name, layer in model.named_modules()
            if _is_linear(layer) and name != head and not name.startswith(f"{head}.")
        ]
        if not layers:
            raise InvalidData("training.no_layers", base=job.base)
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.adapter_dropout,
            target_modules=layers,
            modules_to_save=[head],
        )
        return get_peft_model(model, config)

    def unwrap(model: Any) -> Any:
        adapter = job.out / "adapter"
        model.save_pretrained(adapter)
        (adapter / "README.md").unlink(missing_ok=True)
        return model.merge_and_unload()

    return finetune.finetune(job, settings, report, wrap, unwrap)


def _is_linear(layer: Any) -> bool:
    import torch

    return isinstance(layer, torch.nn.Linear)


def _head(model: Any) -> str:
    """The name of the layer that gives the logits: the last one with as many outputs as labels."""
    names: list[str] = [
        name
        for name, layer in model.named_modules()
        if _is_linear(layer) and layer.out_features == model.config.num_labels
    ]
    return names[-1]
