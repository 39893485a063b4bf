"""One factor for each output of a layer learns, and nothing else: the fewest trained parameters.

IA³ (Liu and others, 2022, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than
In-Context Learning"); there for keys, values and one layer of each block, here for all linear ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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

_RATE = 1e-2


class Settings(finetune.FineTuneSettings):
    """``[training.ia3]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Whatever a network can be taught; see `finetune.supports`."""
    return finetune.supports(task, base)


def settle(job: TrainJob, settings: Settings) -> Settings:
    """`settings` with what is left open fixed by the base."""
    return finetune.settle(job, settings, _RATE)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """Gradients and moments of next to nothing, and two thirds of the work of all weights."""
    return finetune.estimate(job, settle(job, settings), rows, machine, trained=0.001)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Trains the factors and the head; see `feilun.training.finetune`."""
    settings = settle(job, settings)

    def wrap(model: Any) -> Any:
        from peft import IA3Config, get_peft_model

        layers, head = lora.adaptable(job, model)
        config = IA3Config(target_modules=layers, feedforward_modules=[], modules_to_save=head)
        return get_peft_model(model, config)

    return lora.merged(job, settings, report, wrap)
