"""A forecast by the theta method: the level that exponential smoothing finds at the origin, half
the trend, and the season.

Assimakopoulos and Nikolopoulos, 2000, "The theta model"; in the form of Hyndman and Billah, 2003:
simple exponential smoothing with a drift of half the slope, of values without their season.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from feilun.errors import CorruptArtifact
from feilun.modalities.series.state import SeriesState

__all__ = ["Theta", "deseasoned", "fitted", "season_of"]

_FILE = "theta.safetensors"
_ALPHAS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_LEAST = 8


@dataclass(frozen=True, slots=True, eq=False)
class Theta:
    """Of each series the weight of the newest value (`alphas`), what is added a step (`drifts`),
    the `seasons` (series, steps of a season), which are added to values, or multiply them where
    `times` says so (boolean). `levels` are those after each value of the state."""

    alphas: np.ndarray
    drifts: np.ndarray
    seasons: np.ndarray
    times: np.ndarray
    levels: np.ndarray

    def __call__(
        self,
        state: SeriesState,
        series: np.ndarray,
        steps: np.ndarray,
        origins: np.ndarray,
        covariates: np.ndarray,
    ) -> np.ndarray:
        """See `Forecaster`."""
        level = self.levels[state.begins[series] + origins - 1]
        plain = level + self.drifts[series] * (steps - origins + 1)
        season = self.seasons[series, steps % self.seasons.shape[1]]
        return np.asarray(np.where(self.times[series], plain * season, plain + season), np.float64)

    def settled(self, state: SeriesState) -> Theta:
        """With the levels of this `state`."""
        levels = np.zeros(len(state.values))
        for one, (begin, end) in enumerate(zip(state.begins, state.begins[1:], strict=False)):
            values = deseasoned(state.values[begin:end], self.seasons[one], bool(self.times[one]))
            levels[begin:end] = smoothed(values, float(self.alphas[one]), float(self.drifts[one]))
        return replace(self, levels=levels)

    def of(self, state: SeriesState, place: int) -> Theta:
        """See `Forecaster`: fitted anew."""
        alphas, drifts = np.ones(place + 1), np.zeros(place + 1)
        times, seasons = np.zeros(place + 1, bool), np.zeros((place + 1, state.season))
        alphas[place], drifts[place], seasons[place], times[place] = fitted(state, state.values)
        levels = smoothed(
            deseasoned(state.values, seasons[place], bool(times[place])),
            float(alphas[place]),
            float(drifts[place]),
        )
        return Theta(alphas, drifts, seasons, times, levels)

    def save(self, folder: Path) -> None:
        """Writes all but the levels, which the history gives again."""
        from safetensors.numpy import save_file

        names = ("alphas", "drifts", "seasons", "times")
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in names}
        save_file(arrays, folder / _FILE)

    @classmethod
    def read(cls, folder: Path, state: SeriesState) -> Theta:
        """What `save` wrote. Raises `CorruptArtifact` where it is not whole."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            found = cls(**load_file(folder / _FILE), levels=np.zeros(0))
        except (OSError, TypeError, SafetensorError) as error:
            raise CorruptArtifact("engines.bad_weights", file=folder, reason=repr(error)) from None
        return found.settled(state)


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
        season = season_of(values, state.season, multiply) if seasonal else nothing
        plain = deseasoned(values, season, multiply)
        slope = float(np.polyfit(np.arange(len(plain)), plain, 1)[0]) / 2
        for alpha in _ALPHAS:
            for drift in (slope, 0.0):
                level = smoothed(plain, alpha, drift)
                error = _error(values, level, drift, season, multiply, state.horizon)
                if error < least:
                    best, least = (alpha, drift, season, multiply), error
    return best


def season_of(values: np.ndarray, period: int, multiply: bool) -> np.ndarray:
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


def deseasoned(values: np.ndarray, season: np.ndarray, times: bool) -> np.ndarray:
    """`values` without their `season`, the first of it at the first value."""
    each = season[np.arange(len(values)) % len(season)]
    return np.asarray(values / each if times else values - each, np.float64)


def smoothed(values: np.ndarray, alpha: float, drift: float) -> np.ndarray:
    """The level after each of `values`: the last one and `drift`, corrected by `alpha` of the
    error."""
    from scipy.signal import lfilter

    # level[t] = alpha * value[t] + (1 - alpha) * (level[t - 1] + drift)
    given = alpha * values + (1 - alpha) * drift
    given[0] = values[0]
    return np.asarray(lfilter([1.0], [1.0, alpha - 1.0], given), np.float64)
