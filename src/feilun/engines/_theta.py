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

__all__ = ["Theta"]

_FILE = "theta.safetensors"


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
