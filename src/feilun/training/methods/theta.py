"""Level, half the trend and the season of each series by itself: the theta method.

It needs some seasons of one series and no other, takes seconds, and is hard to beat where series
are short (Makridakis and others, 2000, "The M3-Competition").
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np

from feilun.engines._theta import Theta, fitted
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.series import no_series, prepare, write_version
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = ["Settings", "estimate", "least_rows", "needs_base", "needs_torch", "order", "supports",
           "train"]  # fmt: skip

order = 1
needs_base = False
needs_torch = False
least_rows = 0

_TOLD = 50


class Settings(MethodSettings):
    """``[training.theta]``: there is nothing to set."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Series alone."""
    return no_series(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of rows, which are gone over some twenty times."""
    total = rows.train + rows.validation + rows.test
    return Estimate(int(100e6 + total * 1_000), 1.0 + total * 3e-5, {"rows": total})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `forecasts` version. An update fits all series anew."""
    start = perf_counter()
    found = prepare(job, Dataset(job.data))
    state = found.state
    count = len(state.names)
    alphas, drifts = np.ones(count), np.zeros(count)
    seasons, times = np.zeros((count, state.season)), np.zeros(count, bool)
    for one in range(count):
        if not one % _TOLD:
            report(Progress("train", one, count, "series"))
        begin = int(state.begins[one])
        end = begin + int(min(state.anchors[one], state.lengths[one]))
        alphas[one], drifts[one], seasons[one], times[one] = fitted(state, state.values[begin:end])
    Theta(alphas, drifts, seasons, times, np.zeros(0)).save(job.out)
    write_version(job, found, "theta", settings.model_dump())
    figures = {
        "seconds": perf_counter() - start,
        "rows": float(found.built.training.sum()),
        "series": float(count),
        "season": float(state.season),
        "horizon": float(state.horizon),
    }
    return TrainResult(figures, found.notes)
