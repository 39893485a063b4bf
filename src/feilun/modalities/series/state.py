"""Everything that is known of some series: their values on one grid, and what a forecast needs.

A `SeriesState` is made from the rows of a data version and kept with a model version. Values of all
rows are in it, because a forecast starts from the newest; what is *learnt* (season, scale) comes
from training rows alone. Which values may be used for which time is decided here once (`origins`):
evaluation asks about times inside the history, and is answered as on the day it stands for.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from feilun.errors import InvalidData
from feilun.modalities.series.frequency import Frequency, find_frequency, parse_frequency

__all__ = ["Built", "SeriesState", "build_series"]

_LEAST = 3
"""Values that a series needs for anything to be learnt from it."""
_MOST_GAP = 20
"""Times as many steps as values, above which the times are no regular series."""
_OFF = 0.1
"""Part of a step by which a time may be off and still count as on the grid."""
_LAGS = 1000
"""Steps up to which a season is looked for where no calendar names one."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesState:
    """`names` are the series in the order of the arrays; series i has ``values[begins[i]:
    begins[i + 1]]``, the first at time ``starts[i]``, each one step later. `anchors` are the steps
    at which evaluation begins: the first value that no training row holds. `scales` are the mean
    errors of repeating the last season, over training values. `seasons` are in steps, the one that
    a repetition errs least with first. `covariates` (all values, columns) are what was known beside
    each value, as numbers."""

    frequency: Frequency
    horizon: int
    seasons: tuple[int, ...]
    names: tuple[str, ...]
    starts: np.ndarray
    begins: np.ndarray
    values: np.ndarray
    anchors: np.ndarray
    scales: np.ndarray
    covariates: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def season(self) -> int:
        """The season that the naive forecast repeats; 1 where there is none."""
        return self.seasons[0] if self.seasons else 1

    @property
    def lengths(self) -> np.ndarray:
        """The number of values of each series."""
        return np.diff(self.begins)

    def steps(self, series: np.ndarray, times: np.ndarray) -> np.ndarray:
        """The steps of `times` in their `series` (places in `names`), int64; a time between two
        steps counts as the nearer one."""
        found = np.zeros(len(series), np.int64)
        for one in np.unique(series).tolist():
            mine = series == one
            exact = self.frequency.steps(float(self.starts[one]), times[mine])
            found[mine] = np.floor(exact + 0.5).astype(np.int64)
        return found

    def times(self, series: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The other way round, float64."""
        found = np.zeros(len(series))
        for one in np.unique(series).tolist():
            mine = series == one
            found[mine] = self.frequency.times(float(self.starts[one]), steps[mine])
        return found

    def origins(self, series: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """How many values of a series may be used to answer about a step, int64: all of them after
        its end; within it those before the last origin. Origins stand every `horizon` steps from
        the anchor on, so that the steps between are answered as they would have been: from 1 to
        `horizon` steps ahead."""
        anchors, ends = self.anchors[series], self.lengths[series]
        inside = anchors + np.floor_divide(steps - anchors, self.horizon) * self.horizon
        found = np.clip(np.where(steps >= ends, ends, inside), 1, ends)
        return np.asarray(found, np.int64)

    def at(self, series: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The values at `steps`, float64; NaN outside of the series."""
        places = self.begins[series] + steps
        within = (steps >= 0) & (steps < self.lengths[series])
        found = np.full(steps.shape, np.nan)
        found[within] = self.values[places[within]]
        return found

    def naive(self, series: np.ndarray, steps: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """The value one season before, or as many seasons as lead before the origin; the last one
        known where the series is too short."""
        season = self.season
        back = (np.maximum(steps - origins, 0) // season + 1) * season
        found = self.at(series, steps - back)
        return np.where(np.isnan(found), self.at(series, origins - 1), found)

    def brought(self, place: int, start: float, values: np.ndarray) -> SeriesState:
        """A state whose series at `place` has `values` that came with a call, the first of them at
        `start` and each one step later, and whose others have none. Frequency, seasons and horizon
        stay."""
        times = self.frequency.times(start, np.arange(len(values)))
        built = build_series(
            [""] * len(values),
            times,
            values,
            np.ones(len(values), bool),
            dated=self.frequency.unit != "n",
            frequency=self.frequency.text,
            season=self.season,
            horizon=self.horizon,
        ).state
        none, count = np.zeros(place), len(built.values)
        return replace(
            self,
            names=("",) * (place + 1),
            starts=np.concatenate([none, built.starts]),
            begins=np.concatenate([none, built.begins]).astype(np.int64),
            values=built.values,
            anchors=np.concatenate([none, built.anchors]).astype(np.int64),
            scales=np.concatenate([none + 1, built.scales]),
            covariates=np.full((count, self.covariates.shape[1]), np.nan),
        )

    # On disk

    def head(self) -> dict[str, Any]:
        """What is no array, as JSON."""
        return {
            "frequency": self.frequency.text,
            "horizon": self.horizon,
            "seasons": list(self.seasons),
            "names": list(self.names),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        names = ("starts", "begins", "values", "anchors", "scales", "covariates")
        return {name: np.ascontiguousarray(getattr(self, name)) for name in names}

    @classmethod
    def read(cls, head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> SeriesState:
        """What `head` and `arrays` hold."""
        return cls(
            parse_frequency(head["frequency"]),
            int(head["horizon"]),
            tuple(head["seasons"]),
            tuple(head["names"]),
            **arrays,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """A `state`, and of its making: rows that stood between two steps (`off`), that shared a step
    with another (`doubled`), steps without a value (`gaps`), series that are too `short` to be
    learnt from. `places` are where each row went, `training` which values come from training
    rows."""

    state: SeriesState
    off: int
    doubled: int
    gaps: int
    short: int
    places: np.ndarray
    training: np.ndarray


def build_series(
    names: Sequence[str],
    times: np.ndarray,
    values: np.ndarray,
    training: np.ndarray,
    *,
    dated: bool = True,
    covariates: np.ndarray | None = None,
    frequency: str | None = None,
    season: int | None = None,
    horizon: int | None = None,
) -> Built:
    """Puts rows on a grid: `names`, `times`, `values` and whether a row is for `training`, one a
    row, in any order. Frequency, season and horizon are found where they are not given.

    Of rows on one step the mean counts. A step without a value gets that of one season before, or
    the last one known: never a later one, which an evaluation must not see. Raises `InvalidData`
    for times that are no series: none with two different times, or far more steps than values.
    """
    labels = sorted(set(names))
    code = {name: place for place, name in enumerate(labels)}
    series = np.array([code[name] for name in names], np.int64)
    order = np.lexsort((times, series))
    bounds = np.searchsorted(series[order], np.arange(len(labels) + 1))
    rows = [order[a:b] for a, b in itertools.pairwise(bounds)]
    unique = [np.unique(times[mine]) for mine in rows]
    found = parse_frequency(frequency) if frequency else find_frequency(unique, dated)
    if found is None:
        raise InvalidData("forecasts.one_time", rows=len(names))
    if (found.unit == "n") == dated:
        raise InvalidData("forecasts.other_frequency", given=found.words())
    _check(found, labels, unique)

    starts = np.array([one[0] for one in unique])
    steps = np.zeros(len(names), np.int64)
    off = 0
    for place, mine in enumerate(rows):
        exact = found.steps(float(starts[place]), times[mine])
        steps[mine] = np.floor(exact + 0.5).astype(np.int64)
        off += int((np.abs(exact - steps[mine]) > _OFF).sum())
    lengths = np.array([int(steps[mine].max()) + 1 for mine in rows])
    if lengths.sum() > _MOST_GAP * len(names) + 100:
        raise InvalidData(
            "forecasts.not_regular",
            steps=int(lengths.sum()),
            rows=len(names),
            frequency=found.words(),
        )
    begins = np.concatenate([[0], np.cumsum(lengths)])
    places = begins[series] + steps
    count = np.bincount(places, minlength=begins[-1])
    total = np.bincount(places, weights=values, minlength=begins[-1])
    grid = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    held = np.bincount(places, weights=~training, minlength=begins[-1]) > 0
    trained = (np.bincount(places, weights=training, minlength=begins[-1]) > 0) & ~held
    anchors = np.array([_first(held[a:b], b - a) for a, b in itertools.pairwise(begins)])
    known = count > 0
    if covariates is None:
        covariates = np.zeros((len(names), 0))
    beside = np.full((begins[-1], covariates.shape[1]), np.nan)
    beside[places] = covariates
    wanted, longest = horizon, int(lengths.max())
    horizon = wanted or max(1, min(found.horizon, longest // 5))
    parts = [
        grid[a:c] for a, b, n in zip(begins[:-1], begins[1:], anchors, strict=True)
        for c in (min(b, a + n),)
    ]  # fmt: skip
    seasons = (season,) if season else find_seasons(parts, found, horizon)
    if wanted is None and found.unit == "n" and seasons and not found.seasons():
        horizon = min(*seasons, longest // 5, 60)  # no calendar names one: the shortest season
    for a, b in itertools.pairwise(begins):
        _fill(grid[a:b], seasons[0] if seasons else 1)
    state = SeriesState(
        found,
        horizon,
        tuple(int(one) for one in seasons),
        tuple(labels),
        starts,
        begins,
        grid,
        anchors,
        _scales(grid, known, begins, anchors, seasons[0] if seasons else 1),
        beside,
    )
    return Built(
        state,
        off,
        len(names) - int(known.sum()),
        int((~known).sum()),
        int((np.minimum(anchors, lengths) < _LEAST).sum()),
        places,
        trained,
    )


def _first(marked: np.ndarray, otherwise: int) -> int:
    places = np.flatnonzero(marked)
    return int(places[0]) if len(places) else int(otherwise)


def _check(frequency: Frequency, names: Sequence[str], times: Sequence[np.ndarray]) -> None:
    """Raises `InvalidData` where one series has values at quite other distances than the rest."""
    for name, one in zip(names, times, strict=True):
        if len(one) < 2 * _LEAST:
            continue
        usual = float(np.median(np.diff(frequency.steps(float(one[0]), one))))
        if not 0.6 <= usual <= 3:
            own = find_frequency([one], frequency.unit != "n")
            raise InvalidData(
                "forecasts.mixed_frequencies",
                series=name[:60],
                own=own.words() if own else "-",
                frequency=frequency.words(),
            )


def _fill(values: np.ndarray, season: int) -> None:
    """Fills gaps in place from what lies before them."""
    last = values[np.flatnonzero(~np.isnan(values))[0]]
    for place in np.flatnonzero(np.isnan(values)).tolist():
        before = values[place - season] if place >= season else np.nan
        if np.isnan(before):
            before = values[place - 1] if place else last
        values[place] = before


def find_seasons(
    parts: Sequence[np.ndarray], frequency: Frequency, horizon: int
) -> tuple[int, ...]:
    """The seasons that training values have: those of the calendar that are better repeated than
    the last value, the best first; where the calendar names none, the best two of all lengths.
    Empty where repeating the last value errs least."""
    longest = max((len(one) for one in parts), default=0)
    fits = [one for one in frequency.seasons() if 1 < one <= longest / 2]
    if not fits and frequency.unit == "n":
        fits = list(range(2, min(longest // 3, _LAGS) + 1))
    if not fits:
        return ()
    plain = _naive_error(parts, 1, horizon)
    errors = {one: _naive_error(parts, one, horizon) for one in fits}
    if frequency.unit != "n" or len(fits) <= 4:
        good = [one for one in fits if errors[one] < plain]
        return tuple(sorted(good, key=lambda one: (errors[one], one)))
    least = min(errors.values())
    best = next(one for one in fits if errors[one] <= 1.02 * least)
    if errors[best] > 0.8 * plain:
        return ()
    lower = [one for one in fits if one <= best / 2]
    second = min(lower, key=lambda one: errors[one], default=None)
    if second is None or errors[second] > 0.8 * plain:
        return (best,)
    return (best, second)


def _naive_error(parts: Sequence[np.ndarray], season: int, horizon: int) -> float:
    """The mean error of the seasonal naive forecast over leads up to `horizon`, each series in
    units of its own spread; infinite where no series is long enough."""
    total, count = 0.0, 0
    for values in parts:
        spread = float(np.nanstd(values)) if len(values) > 1 else 0.0
        if not spread > 0:
            continue
        for lead in {1, (horizon + 1) // 2, horizon}:
            back = -(-lead // season) * season
            if back >= len(values):
                continue
            error = np.abs(values[back:] - values[:-back])
            error = error[~np.isnan(error)]
            total += float(error.sum()) / spread
            count += len(error)
    return total / count if count else float("inf")


def _scales(
    values: np.ndarray, known: np.ndarray, begins: np.ndarray, anchors: np.ndarray, season: int
) -> np.ndarray:
    """The mean absolute difference to one season before over training values (Hyndman and Koehler,
    2006); of the values themselves where a series is too short or repeats without a difference."""
    found = np.ones(len(anchors))
    for place, (begin, anchor) in enumerate(zip(begins[:-1], anchors, strict=True)):
        part = values[begin : begin + anchor]
        mine = known[begin : begin + anchor]
        for back in (season, 1):
            if len(part) > back:
                both = mine[back:] & mine[:-back]
                error = np.abs(part[back:] - part[:-back])[both]
                if len(error) and error.mean() > 0:
                    found[place] = error.mean()
                    break
        else:
            whole = np.abs(values[begin : begins[place + 1]])
            found[place] = float(whole.mean()) or 1.0
    return found
