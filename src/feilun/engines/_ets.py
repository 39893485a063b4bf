"""A forecast by exponential smoothing: level, trend and season of each series, as they are at the
origin.

Hyndman, Koehler, Ord and Snyder, 2008, "Forecasting with Exponential Smoothing". Errors are added;
a trend is missing, goes on, or is damped; a season is missing, is added, or multiplies. Of these
nine models the corrected information criterion of Akaike (AICc) chooses one for each series, with
the weights that err least one step ahead, by squares. What a series begins with is not searched
for, since a long season would make it hundreds of numbers: the season is that around a moving mean,
level and trend are those of a line through the first values or through all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from feilun.engines._theta import deseasoned, season_of
from feilun.errors import CorruptArtifact
from feilun.modalities.series.state import SeriesState

__all__ = ["MODELS", "Ets", "Fit", "Model", "fit_all", "fitted", "smoothed", "start"]

_FILE = "ets.safetensors"
_LEAST = 8
_NEWEST, _SEASONS = 2_000, 5
"""Newest training values, and seasons at least, that weights are fitted to."""
_FIRST = 10
_WIDTH, _CELLS = 20_000, 4_000_000
"""Candidates that are computed side by side, and numbers of their seasons."""
_GRID = ((0.0, 0.25, 0.5, 0.75, 1.0), (0.05, 0.4, 1.0), (0.03, 0.3, 1.0), (0.3, 1.0))
"""Where the search for each weight begins, on its way from 0 to 1."""
_ROUNDS, _STEP = 12, 0.12
_LOW = 0.01
"""Part of the first level below which none is divided by."""


@dataclass(frozen=True, slots=True)
class Model:
    """Which parts a model has."""

    trend: bool
    damped: bool
    seasonal: bool

    @property
    def free(self) -> list[int]:
        """Which weights it has, of those of level, trend and season and the damping."""
        has = (True, self.trend, self.seasonal, self.damped)
        return [place for place, one in enumerate(has) if one]

    def parameters(self, season: int) -> int:
        """Weights, what a series begins with, and the variance of the errors."""
        return len(self.free) + 1 + self.trend + (season - 1) * self.seasonal + 1

    def weights(self, points: np.ndarray) -> np.ndarray:
        """The weights (4, ...) at `points` (4, ...) from 0 to 1. The upper limits are those within
        which a model forgets what it began with."""
        alpha = 0.01 + 0.9899 * points[0] ** 2
        beta, gamma = 1e-4 + 0.9998 * points[1:3] ** 2
        phi = 0.8 + 0.18 * points[3] if self.damped else np.ones_like(alpha)
        rest = (alpha * beta * self.trend, (1 - alpha) * gamma * self.seasonal, phi * self.trend)
        return np.stack([alpha, *rest])


MODELS = [
    Model(trend, damped, seasonal)
    for seasonal in (False, True)
    for trend, damped in ((False, False), (True, False), (True, True))
]


@dataclass(frozen=True, slots=True)
class Fit:
    """The model of a series: weights of level, trend and season, the damping (0 without a trend, 1
    where it goes on); whether it has a season, and one that multiplies; whether it begins with
    `near` values; its AICc."""

    weights: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)
    seasonal: bool = False
    multiplies: bool = False
    near: bool = True
    aicc: float = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Ets:
    """Of each series the damping (`phis`), the first season (`begun`: series, steps of a season)
    and whether seasons multiply (`times`, boolean); `levels`, `trends` and `seasons` after each
    value of the state."""

    phis: np.ndarray
    begun: np.ndarray
    times: np.ndarray
    levels: np.ndarray
    trends: np.ndarray
    seasons: np.ndarray

    def __call__(
        self,
        state: SeriesState,
        series: np.ndarray,
        steps: np.ndarray,
        origins: np.ndarray,
        covariates: np.ndarray,
    ) -> np.ndarray:
        """See `Forecaster`."""
        begins, period, phi = state.begins[series], self.begun.shape[1], self.phis[series]
        lead = np.maximum(steps - origins + 1, 1)
        ahead = np.where(phi < 1, phi * (1 - phi**lead) / np.where(phi < 1, 1 - phi, 1.0), lead)
        newest = begins + origins - 1
        plain = self.levels[newest] + ahead * self.trends[newest]
        last = steps - -(-lead // period) * period  # the newest step of this phase
        known = self.seasons[begins + np.maximum(last, 0)]
        season = np.where(last >= 0, known, self.begun[series, steps % period])
        return np.asarray(np.where(self.times[series], plain * season, plain + season), np.float64)

    @classmethod
    def settled(cls, state: SeriesState, fits: Sequence[Fit]) -> Ets:
        """What `fits`, one a series, make of all values of the `state`."""
        begun = np.zeros((len(fits), state.season))
        found = [np.zeros(len(state.values)) for _ in range(3)]
        for times in (False, True):
            mine = [place for place, fit in enumerate(fits) if fit.multiplies == times]
            for chunk in _chunks(mine, state.lengths, 1, state.season):
                parts = [state.values[state.begins[n] : state.begins[n + 1]] for n in chunk]
                starts = [
                    start(learnt(state, n), state.season if fits[n].seasonal else 1, times)
                    for n in chunk
                ]
                lines = []
                for n, ((near, whole), season) in zip(chunk, starts, strict=True):
                    lines.append(near if fits[n].near else whole)
                    begun[n] = season
                weights = np.array([fits[n].weights for n in chunk]).T
                kept = [np.zeros((max(map(len, parts)), len(chunk))) for _ in found]
                smoothed(parts, weights, (*np.array(lines).T, begun[chunk].T.copy()), times, kept)
                for column, (n, part) in enumerate(zip(chunk, parts, strict=True)):
                    for array, one in zip(found, kept, strict=True):
                        array[state.begins[n] : state.begins[n + 1]] = one[: len(part), column]
        phis = np.array([fit.weights[3] for fit in fits])
        return cls(phis, begun, np.array([fit.multiplies for fit in fits], bool), *found)

    def of(self, state: SeriesState, place: int) -> Ets:
        """See `Forecaster`: fitted anew."""
        names = ("starts", "begins", "anchors", "scales")
        own = replace(state, names=("",), **{name: getattr(state, name)[place:] for name in names})
        found = Ets.settled(own, fit_all(own))
        many = place + 1
        return replace(
            found,
            phis=np.broadcast_to(found.phis, (many,)),
            begun=np.broadcast_to(found.begun, (many, state.season)),
            times=np.broadcast_to(found.times, (many,)),
        )

    def save(self, folder: Path) -> None:
        """Writes what `read` reads."""
        from safetensors.numpy import save_file

        names = ("phis", "begun", "times", "levels", "trends", "seasons")
        save_file(
            {name: np.ascontiguousarray(getattr(self, name)) for name in names}, folder / _FILE
        )

    @classmethod
    def read(cls, folder: Path) -> Ets:
        """What `save` wrote. Raises `CorruptArtifact` where it is not whole."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return cls(**load_file(folder / _FILE))
        except (OSError, TypeError, SafetensorError) as error:
            raise CorruptArtifact("engines.bad_weights", file=folder, reason=repr(error)) from None


def fit_all(state: SeriesState, told: Callable[[int, int], None] | None = None) -> list[Fit]:
    """The model of each series, chosen by its training values; the last value once more where they
    are too few, or all alike. `told` hears how many fits are done, and of how many."""
    season, most = state.season, max(_NEWEST, _SEASONS * state.season)
    parts = [learnt(state, n)[-most:] for n in range(len(state.names))]
    sizes = np.array([len(part) for part in parts])
    fits = [Fit() for _ in parts]
    able = [n for n, part in enumerate(parts) if len(part) >= _LEAST and np.ptp(part) > 0]
    repeated = [n for n in able if season > 1 and sizes[n] >= 2 * season]
    positive = [n for n in repeated if parts[n].min() > 0]
    others = sorted(set(able) - set(repeated))
    done, total = 0, len(others) + len(repeated) + len(positive)
    for mine, models, times in (
        (others, MODELS[:3], False),
        (repeated, MODELS, False),
        (positive, MODELS[3:], True),
    ):
        for chunk in _chunks(mine, sizes, len(_begin(models)[0]), season):
            found = fitted([parts[n] for n in chunk], models, season, times)
            for n, fit in zip(chunk, found, strict=True):
                if fit.aicc < fits[n].aicc:
                    fits[n] = fit
            done += len(chunk)
            if told is not None:
                told(done, total)
    return fits


def learnt(state: SeriesState, series: int) -> np.ndarray:
    """The values of a series before evaluation begins, and the first in any case."""
    begin = int(state.begins[series])
    most = max(1, int(min(state.anchors[series], state.lengths[series])))
    return state.values[begin : begin + most]


def start(
    values: np.ndarray, period: int, times: bool
) -> tuple[tuple[tuple[float, float], tuple[float, float]], np.ndarray]:
    """Level and trend before the first of `values`, by a line through the first of them and by one
    through all, and the season, the first of it at the first value."""
    neutral = np.full(1, float(times))
    season = season_of(values, period, times) if period > 1 else neutral
    plain = deseasoned(values, season, times)

    def line(part: np.ndarray) -> tuple[float, float]:
        if len(part) < 2:
            return float(part[0]), 0.0
        slope, level = np.polyfit(np.arange(1, len(part) + 1), part, 1)
        return float(level), float(slope)

    return (line(plain[:_FIRST]), line(plain)), season


def smoothed(
    parts: Sequence[np.ndarray],
    weights: np.ndarray,
    begun: tuple[np.ndarray, np.ndarray, np.ndarray],
    times: bool,
    kept: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """The sums of the squared errors one step ahead, (..., series), inf where they grew beyond all
    bounds. `weights` are (4, ..., series), `begun` level and trend (..., series) and seasons (steps
    of a season, ..., series), which are written over. What level, trend and season are after each
    value goes to `kept`, each (steps, ..., series)."""
    alpha, beta, gamma, phi = weights
    level, trend, seasons = begun
    values = np.zeros((max(map(len, parts)), len(parts)))
    inside = np.zeros_like(values)
    for column, part in enumerate(parts):
        values[: len(part), column], inside[: len(part), column] = part, 1.0
    low = _LOW * np.abs(level) + 1e-12
    total: np.ndarray = np.zeros(alpha.shape)
    with np.errstate(all="ignore"):
        for step, (value, known) in enumerate(zip(values, inside, strict=True)):
            slope = phi * trend
            plain = level + slope
            season = seasons[step % len(seasons)]
            if times:
                error = (value - plain * season) * known
                by_level = error / np.maximum(season, _LOW)
                season += gamma * error / np.maximum(plain, low)
            else:
                error = by_level = (value - plain - season) * known
                season += gamma * error
            level, trend = plain + alpha * by_level, slope + beta * by_level
            total += error**2
            if kept is not None:
                kept[0][step], kept[1][step], kept[2][step] = level, trend, season
    return np.where(np.isfinite(total), total, np.inf)


class _Search:
    """Candidates for `parts`: of each the place of its model (`owner`, (n,)), `points` (4, n,
    series), and whether it begins as all values lie (`whole`, (n, series))."""

    def __init__(
        self, parts: Sequence[np.ndarray], models: Sequence[Model], season: int, times: bool
    ) -> None:
        self._parts, self._models, self._times = parts, models, times
        self._seasonal = np.array([int(model.seasonal) for model in models])
        found = [[start(part, n, times) for part in parts] for n in (1, season)]
        # Without and with a season; near or whole; level and trend; series.
        self._lines = np.array([[line for line, _ in one] for one in found]).transpose(0, 2, 3, 1)
        self._seasons = np.array([[np.resize(first, season) for _, first in one] for one in found])

    def errors(self, owner: np.ndarray, points: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """The sums of their squared errors, (n, series)."""
        weights = np.stack(
            [self._models[place].weights(points[:, n]) for n, place in enumerate(owner)], axis=1
        )
        seasonal = self._seasonal[owner]
        lines = self._lines[seasonal]  # n, near or whole, level and trend, series
        level, trend = (np.where(whole, lines[:, 1, row], lines[:, 0, row]) for row in (0, 1))
        seasons = np.ascontiguousarray(self._seasons[seasonal].transpose(2, 0, 1))
        return smoothed(self._parts, weights, (level, trend, seasons), self._times)

    def best(
        self, owner: np.ndarray, points: np.ndarray, whole: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each model the candidate that errs least: points (4, models, series), whole and errors
        (models, series)."""
        found, each = self.errors(owner, points, whole), np.arange(len(self._parts))
        rows = [np.flatnonzero(owner == place) for place in range(len(self._models))]
        least = np.array([mine[np.argmin(found[mine], axis=0)] for mine in rows])
        return points[:, least, each], whole[least, each], found[least, each]


def _begin(models: Sequence[Model]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the search begins: owner (n,), points (4, n) and whole (n,) of the candidates."""
    found = [
        (place, point, whole)
        for place, model in enumerate(models)
        for point in itertools.product(
            *(tried if axis in model.free else (0.0,) for axis, tried in enumerate(_GRID))
        )
        for whole in (False, True)
    ]
    owner, points, whole = (np.array(one) for one in zip(*found, strict=True))
    return owner, points.T, whole


def fitted(
    parts: Sequence[np.ndarray], models: Sequence[Model], season: int, times: bool
) -> list[Fit]:
    """The best of `models` for each of `parts`. From the best point of a grid on, each takes always
    the best step along one weight, half as long where none errs less."""
    many, search = len(parts), _Search(parts, models, season, times)
    owner, points, wholes = _begin(models)
    spread = np.ones(many)
    at, whole, least = search.best(
        owner, points[:, :, None] * spread, np.repeat(wholes[:, None], many, axis=1)
    )
    moves = [
        (place, sign * np.eye(4)[axis])
        for place, model in enumerate(models)
        for axis in model.free
        for sign in (1, -1)
    ]
    owner, ways = np.array([place for place, _ in moves]), np.array([way for _, way in moves]).T
    steps = np.full(least.shape, _STEP)
    for _ in range(_ROUNDS):
        moved = np.clip(at[:, owner] + ways[:, :, None] * steps[owner], 0, 1)
        better, _, errors = search.best(owner, moved, whole[owner])
        gained = errors < least
        at, least = np.where(gained, better, at), np.where(gained, errors, least)
        steps = np.where(gained, steps, steps / 2)
    sizes = np.array([len(part) for part in parts])
    nothing = 1e-12 * np.array([float((part**2).sum()) for part in parts]) + 1e-300
    scores = np.array(
        [
            _aicc(np.maximum(one, nothing), sizes, model.parameters(season))
            for one, model in zip(least, models, strict=True)
        ]
    )
    fits = []
    for n, place in enumerate(np.argmin(scores, axis=0).tolist()):
        weights = models[place].weights(at[:, place, n]).tolist()
        near, score = not whole[place, n], float(scores[place, n])
        fits.append(Fit(tuple(weights), models[place].seasonal, times, near, score))
    return fits


def _aicc(errors: np.ndarray, sizes: np.ndarray, parameters: int) -> np.ndarray:
    """Without what is alike for all models of a series; inf where there are as many parameters as
    values."""
    spare = sizes - parameters - 1
    penalty = 2 * parameters * sizes / np.maximum(spare, 1)
    return np.where(spare > 0, sizes * np.log(errors / sizes) + penalty, np.inf)


def _chunks(
    places: Sequence[int], sizes: np.ndarray, candidates: int, season: int
) -> Iterator[list[int]]:
    """The `places` of series, those of like sizes together, as many as are computed at once."""
    most = max(1, min(_WIDTH, _CELLS // season) // candidates)
    ordered = sorted(places, key=lambda place: int(sizes[place]))
    for first in range(0, len(ordered), most):
        yield ordered[first : first + most]
