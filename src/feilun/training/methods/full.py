"""The top stage: every weight of the base learns, or those of a network that begins from nothing.

Writes a plain transformers folder. An update continues from the weights of the live version.
"""

from __future__ import annotations

from pathlib import Path

from feilun.tasks.base import TaskBase
from feilun.training import finetune
from feilun.training.finetune_settings import FineTuneSettings
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult

__all__ = [
    "Settings",
    "estimate",
    "lighter",
    "needs_base",
    "needs_torch",
    "order",
    "settle",
    "supports",
    "train",
]

order = 3
needs_base = True
needs_torch = True
least_rows = 200
needs_folder = False
fallback = "lora"

_RATE = 1e-4  # for batches of 64 and a width of 384: measured, docs/decisions/training.md


class Settings(FineTuneSettings):
    """``[training.full]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Whatever a network can be taught; see `finetune.supports`."""
    return finetune.supports(task, base)


lighter = finetune.lighter


def settle(job: TrainJob, settings: Settings) -> Settings:
    """`settings` with what is left open fixed by the base."""
    return finetune.settle(job, settings, _RATE)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """Weights, gradients and AdamW's moments of all parameters; three passes' worth of work."""
    return finetune.estimate(job, settle(job, settings), rows, machine, trained=1.0)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Fine-tunes all weights; see `feilun.training.finetune`."""
    return finetune.finetune(job, settle(job, settings), report)
