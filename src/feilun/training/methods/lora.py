"""Low-rank adapters: the base stays, small matrices beside its layers learn. For bases whose full
fine-tuning does not fit into memory.

The adapters are merged into the weights at the end, so that the version is a plain transformers
folder; ``adapter/`` keeps them on their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from feilun.errors import InvalidData
from feilun.tasks.base import TaskBase
from feilun.training import finetune, heads
from feilun.training.body import describe
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult

__all__ = [
    "Settings",
    "adapt",
    "adaptable",
    "estimate",
    "merged",
    "needs_base",
    "needs_torch",
    "rung",
    "settle",
    "supports",
    "train",
]

rung = 2
needs_base = True
needs_torch = True
least_rows = 200

_RATE = 1e-3


class Settings(finetune.FineTuneSettings):
    """``[training.lora]``."""

    rank: int = Field(16, ge=1, le=512, description="rank of the adapters' matrices")
    alpha: int = Field(32, ge=1, description="weight of the adapters, as a multiple of 1 / rank")
    adapter_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the adapters' inputs dropped while learning"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Whatever a network can be taught; see `finetune.supports`."""
    return finetune.supports(task, base)


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
    return merged(job, settings, report, lambda model: adapt(job, settings, model))


def merged(job: TrainJob, settings: Any, report: Report, wrap: Callable[[Any], Any]) -> TrainResult:
    """Trains what `wrap` puts beside the layers, keeps it in ``adapter/`` and merges it into the
    weights. `settings` are settled."""

    def unwrap(model: Any) -> Any:
        _keep(job.out / "adapter", model)
        return model.merge_and_unload()

    return finetune.finetune(job, settings, report, wrap, unwrap)


def adapt(job: TrainJob, settings: Settings, model: Any, **more: Any) -> Any:
    """`model` with adapters beside its layers; `more` are options of peft's ``LoraConfig``. Raises
    `InvalidData` for a network without linear layers."""
    from peft import LoraConfig, get_peft_model

    layers, head = adaptable(job, model)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.adapter_dropout,
        target_modules=layers,
        modules_to_save=head,
        **more,
    )
    return get_peft_model(model, config)


def adaptable(job: TrainJob, model: Any) -> tuple[list[str], list[str] | None]:
    """The names of every linear layer but the head, which learns as it is, and the layer that gives
    the words of a language model, which stays; and the head's, where there is one.

    Raises `InvalidData` for a network without such layers.
    """
    words = model.get_output_embeddings()
    head = None if words is not None else heads.name_of(model)
    layers = [
        name
        for name, layer in model.named_modules()
        if _is_linear(layer) and name != head and layer is not words
    ]
    if not layers:
        raise InvalidData("training.no_layers", base=job.base)
    return layers, [head] if head else None


def _keep(folder: Path, model: Any) -> None:
    """Writes the adapters alone, the same bytes on every machine: no path, sets in order."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text("utf-8"))
    config["base_model_name_or_path"] = None
    config["target_modules"] = sorted(config["target_modules"])
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def _is_linear(layer: Any) -> bool:
    import torch

    return isinstance(layer, torch.nn.Linear)
