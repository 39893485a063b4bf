"""What most users took: the answer to everybody, and the baseline of whatever knows its user."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training import interactions
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.settings import MethodSettings

__all__ = ["Settings", "estimate", "needs_base", "needs_torch", "order", "supports", "train"]

order = 0
needs_base = False
needs_torch = False
least_rows = 0

_BYTES = 200  # of a row while it is read


class Settings(MethodSettings):
    """``[training.popularity]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Recommendation alone."""
    return interactions.supports(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """One pass over the rows."""
    return Estimate(100_000_000 + rows.train * _BYTES, 1.0 + rows.train * 4e-6)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `recommender` version that knows how many users took each item."""
    begin = perf_counter()
    dataset = Dataset(job.data)
    found = interactions.read(dataset)
    interactions.write(job, dataset, found, settings.model_dump())
    users, items = found.matrix.shape
    figures = {"seconds": perf_counter() - begin, "rows": float(dataset.size("train"))}
    return TrainResult({**figures, "users": float(users), "items": float(items)})
