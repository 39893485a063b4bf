"""Low-rank adapters that learn direction and size of the weights apart (Liu and others, 2024,
"DoRA: Weight-Decomposed Low-Rank Adaptation"): nearer to all weights at low ranks than `lora`, and
slower.
"""

from __future__ import annotations

from pathlib import Path

from feilun.tasks.base import TaskBase
from feilun.training import finetune
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.methods import lora

__all__ = [
    "Settings",
    "estimate",
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
on_request = True

_RATE = 1e-3


class Settings(lora.Settings):
    """``[training.dora]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Whatever a network can be taught; see `finetune.supports`."""
    return finetune.supports(task, base)


def settle(job: TrainJob, settings: Settings) -> Settings:
    """`settings` with what is left open fixed by the base."""
    return finetune.settle(job, settings, _RATE)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """As `lora`."""
    return lora.estimate(job, settle(job, settings), rows, machine)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Trains adapters and the head; see `feilun.training.finetune`."""
    settings = settle(job, settings)
    return lora.merged(
        job, settings, report, lambda model: lora.adapt(job, settings, model, use_dora=True)
    )
