"""What fine-tuning lets a project choose; `finetune.settle` fixes what is left open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from feilun.tasks.base import TaskBase
from feilun.training import robust
from feilun.types import OneOf, Range, Real, Whole

__all__ = ["FineTuneSettings"]


class FineTuneSettings(robust.RobustSettings):
    """What full and lora let a project choose. What is None is fixed by the base's size."""

    epochs: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="passes over the rows; by default 2 (spans: 3, texts: 5), from nothing 30",
    )
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description="highest step size; by default by the size of the base"
    )
    batch_rows: int | None = Field(
        None, ge=1, description="rows of a batch at most; by default 64 (spans and texts: 8)"
    )
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="tokens (pixels) of a batch at most, padding included; by default 8,192 tokens "
        "(as many patches of pixels), or what 16 of the longest rows need",
    )
    accumulation: int = Field(
        1, ge=1, description="batches whose gradients are added up before each step"
    )
    warmup: float = Field(
        0.1, ge=0, lt=1, description="share of the steps in which the step size rises"
    )
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = Field(
        "linear", description="how the step size falls afterwards"
    )
    weight_decay: float = Field(0.01, ge=0, description="AdamW's weight decay")
    dropout: float | None = Field(
        0.0, ge=0, lt=1, description="share of activations dropped; none keeps the base's own"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of certainty that is taken from the right label"
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="epochs without a better validation score after which training stops; by "
        "default a quarter of the epochs, and at least 2",
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="auto is bf16 where this processor computes faster in it, but for convolutions",
    )
    max_rows: int | None = Field(
        None, ge=2, description="training rows used at most, drawn by the seed; by default all"
    )
    update_rate: float = Field(
        0.5, gt=0, le=1, description="step size of an update, as a share of learning_rate"
    )
    checkpoint_seconds: float = Field(
        30.0, gt=0, description="seconds between checkpoints, from which a killed run goes on"
    )
    checkpoint_steps: int | None = Field(
        None, ge=1, description="steps between checkpoints, instead of seconds"
    )
    frozen_layers: Literal["auto", "none"] | Annotated[int, Field(ge=0)] = Field(
        "auto",
        description="lowest layers that do not learn, whose outputs are computed once: a number "
        "(0: the embeddings alone), none, or auto: half of them where the time limit leaves too "
        "little for all",
    )

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """How long and in what steps a network learns."""
        return {
            "learning_rate": Real(2e-5, 2e-3, log=True),
            "epochs": Whole(1, 2 * task.family.epochs),
            "batch_rows": OneOf((8, 16, 32, 64)),
            "warmup": Real(0.0, 0.3),
            "weight_decay": Real(0.001, 0.1, log=True),
            "dropout": Real(0.0, 0.2),
        }
