"""Low-rank adapters: the base stays, small matrices beside its layers learn. For bases whose full
fine-tuning does not fit into memory.

The adapters (Hu and others, 2022, "LoRA: Low-Rank Adaptation of Large Language Models") are merged
into the weights at the end, so that the version is a plain transformers folder; ``adapter/`` keeps
them on their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from feilun.tasks.base import TaskBase
from feilun.training.adapters import AdapterMethod, Peft
from feilun.training.body import Body
from feilun.training.finetune_settings import FineTuneSettings
from feilun.training.job import TrainJob
from feilun.types import OneOf, Range

__all__ = ["Method", "Settings"]


class Settings(FineTuneSettings):
    """``[training.lora]``."""

    rank: int = Field(16, ge=1, le=512, description="rank of the adapters' matrices")
    alpha: int = Field(32, ge=1, description="weight of the adapters, as a multiple of 1 / rank")
    adapter_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the adapters' inputs dropped while learning"
    )

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """Also how much the adapters may learn."""
        return {**super().space(task), "rank": OneOf((4, 8, 16, 32, 64))}


class Method(AdapterMethod[Settings]):
    """Low-rank matrices beside every linear layer. `options` are further ones of peft's
    ``LoraConfig``."""

    rate = 1e-3
    on_request = False
    options: ClassVar[dict[str, Any]] = {}

    def parameters(self, body: Body, settings: Settings) -> int:
        return 12 * body.layers * settings.rank * body.width

    def adaptation(self, job: TrainJob, settings: Settings) -> Peft:
        def config(layers: list[str], head: list[str] | None, steps: int) -> Any:
            from peft import LoraConfig

            return LoraConfig(
                r=settings.rank,
                lora_alpha=settings.alpha,
                lora_dropout=settings.adapter_dropout,
                target_modules=layers,
                modules_to_save=head,
                **self.options,
            )

        return Peft(job, config)
