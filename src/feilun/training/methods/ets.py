"""Level, trend and season of each series by itself: exponential smoothing.

Of nine models, without a trend, with one that goes on or one that is damped, without a season, with
one that is added or one that multiplies, each series gets the one with the least AICc (Hyndman and
others, 2008, "Forecasting with Exponential Smoothing"). It takes milliseconds for a series.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from feilun.engines._ets import Ets, fit_all
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


class Settings(MethodSettings):
    """``[training.ets]``: there is nothing to set."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Series alone."""
    return no_series(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From the number of rows, each of which is a step of every candidate."""
    total = rows.train + rows.validation + rows.test
    return Estimate(int(250e6 + total * 1_000), 1.0 + total * 5e-4, {"rows": total})


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `forecasts` version. An update fits all series anew."""
    begin = perf_counter()
    found = prepare(job, Dataset(job.data))
    state = found.state
    fits = fit_all(state, lambda done, of: report(Progress("train", done, of, "fits")))
    Ets.settled(state, fits).save(job.out)
    write_version(job, found, "ets", settings.model_dump())
    figures = {
        "seconds": perf_counter() - begin,
        "rows": float(found.built.training.sum()),
        "series": float(len(fits)),
        "season": float(state.season),
        "horizon": float(state.horizon),
        "with_trend": float(sum(fit.weights[3] > 0 for fit in fits)),
        "with_season": float(sum(fit.seasonal for fit in fits)),
    }
    return TrainResult(figures, found.notes)
