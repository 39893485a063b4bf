"""Level, half the trend and the season of each series by itself: the theta method.

It needs some seasons of one series and no other, takes seconds, and is hard to beat where series
are short (Makridakis and others, 2000, "The M3-Competition").
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np

from feilun.engines._theta import Theta, deseasoned, smoothed
from feilun.modalities.series.state import SeriesState
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.series import no_series, prepare, write_version
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = ["Settings", "estimate", "least_rows", "needs_base", "needs_torch", "rung", "supports",
           "train"]  # fmt: skip

rung = 1
needs_base = False
needs_torch = False
least_rows = 0

_ALPHAS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_LEAST = 8
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


def fitted(state: SeriesState, values: np.ndarray) -> tuple[float, float, np.ndarray, bool]:
    """The weight of the newest value, the drift, the season and whether it multiplies, that err
    least over leads up to the horizon on the training `values` of one series. The last value where
    they are too few."""
    nothing = np.zeros(state.season)
    if len(values) < _LEAST:
        return 1.0, 0.0, nothing, False
    seasonal = state.season > 1 and len(values) >= 2 * state.season
    ways = [False, True] if seasonal and values.min() > 0 else [False]
    best, least = (1.0, 0.0, nothing, False), np.inf
    for multiply in ways:
        season = _season(values, state.season, multiply) if seasonal else nothing
        plain = deseasoned(values, season, multiply)
        slope = float(np.polyfit(np.arange(len(plain)), plain, 1)[0]) / 2
        for alpha in _ALPHAS:
            for drift in (slope, 0.0):
                level = smoothed(plain, alpha, drift)
                error = _error(values, level, drift, season, multiply, state.horizon)
                if error < least:
                    best, least = (alpha, drift, season, multiply), error
    return best


def _season(values: np.ndarray, period: int, multiply: bool) -> np.ndarray:
    """The mean of each phase beside the moving mean of a season around it; 0 (1) on average."""
    kernel = np.ones(period) / period
    if period % 2 == 0:
        kernel = np.r_[0.5, np.ones(period - 1), 0.5] / period
    trend = np.convolve(values, kernel, "valid")
    first = len(kernel) // 2
    inner = values[first : first + len(trend)]
    part = inner / np.where(trend == 0, 1.0, trend) if multiply else inner - trend
    phase = (first + np.arange(len(part))) % period
    count = np.bincount(phase, minlength=period)
    total = np.bincount(phase, weights=part, minlength=period)
    neutral = 1.0 if multiply else 0.0
    found = np.where(count > 0, total / np.maximum(count, 1), neutral)
    if multiply:
        found = np.where(found > 0, found, 1.0)
        return np.asarray(found / found.mean(), np.float64)
    return np.asarray(found - found.mean(), np.float64)


def _error(
    values: np.ndarray,
    level: np.ndarray,
    drift: float,
    season: np.ndarray,
    multiply: bool,
    horizon: int,
) -> float:
    total, count = 0.0, 0
    for lead in {1, (horizon + 1) // 2, horizon}:
        if lead >= len(values):
            continue
        each = season[np.arange(lead, len(values)) % len(season)]
        plain = level[:-lead] + drift * lead
        said = plain * each if multiply else plain + each
        half = len(said) // 4  # the first levels are still those of the first value
        total += float(np.abs(said - values[lead:])[half:].sum())
        count += len(said) - half
    return total / count if count else np.inf
