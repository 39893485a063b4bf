"""The last season once more: what any forecast has to be better than.

It learns nothing but the season and how much values differ from one season to the next, and is
there within seconds.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.series import no_series, prepare, write_version
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = ["Settings", "estimate", "least_rows", "needs_base", "needs_torch", "order", "supports",
           "train"]  # fmt: skip

order = 0
needs_base = False
needs_torch = False
least_rows = 0

_BYTES = 1_000  # that a row takes while it is put on the grid


class Settings(MethodSettings):
    """``[training.seasonal_naive]``: there is nothing to set."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Series alone."""
    return no_series(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of rows, which are read once."""
    total = rows.train + rows.validation + rows.test
    return Estimate(int(100e6 + total * _BYTES), 1.0 + total * 2e-5, {"rows": total})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `forecasts` version."""
    start = perf_counter()
    found = prepare(job, Dataset(job.data))
    write_version(job, found, "naive", settings.model_dump())
    report(Progress("train", 1, 1, "series"))
    figures = {
        "seconds": perf_counter() - start,
        "rows": float(found.built.training.sum()),
        "series": float(len(found.state.names)),
        "season": float(found.state.season),
        "horizon": float(found.state.horizon),
    }
    return TrainResult(figures, found.notes)
