"""What a learnt forecast sees of a series: values at and before the origin, the calendar of the
time that is asked about, and covariates known for it.

All values are differences to the naive forecast in units of the series' scale, so that one model
learns from all series. Nothing after the origin is looked at: lags are counted back from the time
asked about in whole seasons, as many as reach the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feilun.modalities.series.frequency import DAY
from feilun.modalities.series.state import SeriesState

__all__ = ["Asked"]

_NEWEST = 6
"""Values just before the origin."""
_SEASONS = 4
"""Values of the same phase in the last seasons, of each season."""
_LASTING = (8, 2)
"""Parts of the horizon within which a change of level fades, beside one that stays."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Times that are asked about: of each its `series` (a place in the state), its step, how many
    values may be used (`origins`), and its covariates (rows, columns)."""

    state: SeriesState
    series: np.ndarray
    steps: np.ndarray
    origins: np.ndarray
    covariates: np.ndarray

    @property
    def base(self) -> np.ndarray:
        """The naive forecast, to which differences are learnt, float64 (rows,)."""
        return self.state.naive(self.series, self.steps, self.origins)

    @property
    def scale(self) -> np.ndarray:
        """The units of the differences, float64 (rows,)."""
        return np.asarray(self.state.scales[self.series], np.float64)

    def linear(self, numeric: np.ndarray) -> np.ndarray:
        """What a linear model sees, float64 (rows, columns), NaN where the past is too short: how
        the level has changed since the season before, fading with the lead; the last values of
        this phase; the changes of `numeric` covariates (boolean, columns)."""
        state, season = self.state, self.state.season
        base, scale = self.base, self.scale
        sums, lead = _sums(state), self.steps - self.origins
        columns: list[np.ndarray] = []
        for length in sorted({1, 3, max(2, min(self._periods) // 4), *self._periods}):
            now = self._mean(sums, self.origins - length, self.origins)
            then = self._mean(sums, self.origins - length - season, self.origins - season)
            change = (now - then) / scale
            columns.append(change)
            columns += [change * np.exp(-lead * part / state.horizon) for part in _LASTING]
        for one in self._periods:
            last = self.steps - (lead // one + 1) * one
            columns += [(state.at(self.series, last - one * n) - base) / scale
                        for n in range(_SEASONS)]  # fmt: skip
            columns.append((state.at(self.series, last - 1) - base) / scale)
            recent = self._mean(sums, self.origins - one, self.origins)
            around = self._mean(sums, last - one, last)
            columns += [(recent - around) / scale, (recent - base) / scale]
        if numeric.any():
            back = (lead // season + 1) * season
            now, then = self.covariates[:, numeric], self._covariates(self.steps - back)[:, numeric]
            columns += [*(now - then).T, *(now**2 - then**2).T]
        return np.stack(columns, axis=1)

    def rows(self, numeric: np.ndarray) -> np.ndarray:
        """What trees see, float64 (rows, columns): the same and more, with the lead, the calendar,
        the series and the covariates as they are. Codes stand last (see `codes`)."""
        state, base, scale = self.state, self.base, self.scale
        lead = self.steps - self.origins
        sums = _sums(state)

        def of(steps: np.ndarray) -> np.ndarray:
            found = state.at(self.series, steps)
            found[steps >= self.origins] = np.nan
            return np.asarray((found - base) / scale, np.float64)

        columns: list[np.ndarray] = [lead + 1.0]
        columns += [of(self.origins - back) for back in range(1, _NEWEST + 1)]
        for one in self._periods:
            last = self.steps - (lead // one + 1) * one
            columns.append(of(last + 1))
            columns.append(of(self.origins - 1) - of(self.origins - 1 - one))
            recent = self._mean(sums, self.origins - one, self.origins)
            before = self._mean(sums, self.origins - 2 * one, self.origins - one)
            columns.append((recent - before) / scale)
        columns += self._calendar()
        columns.append(self.series.astype(np.float64))
        return np.hstack([self.linear(numeric), np.stack(columns, axis=1), self.covariates])

    def codes(self, numeric: np.ndarray) -> list[int]:
        """The places of columns of `rows` that hold codes rather than amounts."""
        width = self.rows(numeric).shape[1] if len(self.steps) else 0
        begin = width - len(numeric)
        found = [begin - 1] if len(self.state.names) > 1 else []
        return found + [begin + place for place in np.flatnonzero(~numeric).tolist()]

    @property
    def _periods(self) -> tuple[int, ...]:
        return self.state.seasons[:3] or (1,)

    def _mean(self, sums: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """The mean of the values from `begin` to before `end`; NaN where there are none."""
        first, length = self.state.begins[self.series], self.state.lengths[self.series]
        low, high = np.clip(begin, 0, length), np.clip(end, 0, length)
        count, total = high - low, sums[first + high] - sums[first + low]
        found = np.full(len(count), np.nan)
        np.divide(total, count, out=found, where=count > 0)
        return found

    def _calendar(self) -> list[np.ndarray]:
        found = [np.asarray(self.steps % one, np.float64) for one in self._periods if one > 1]
        if self.state.frequency.unit == "n":
            return found
        times = self.state.times(self.series, self.steps)
        days = np.floor_divide(times, DAY).astype(np.int64)
        dates = days.astype("datetime64[D]")
        month = dates.astype("datetime64[M]")
        parts = [
            (days + 3) % 7,
            month.astype(np.int64) % 12 + 1,
            (dates - month).astype(np.int64) + 1,
            (dates - dates.astype("datetime64[Y]")).astype(np.int64),
        ]
        if self.state.frequency.unit == "s" and self.state.frequency.size < DAY:
            parts.append(times % DAY / 3600)
        return found + [np.asarray(part, np.float64) for part in parts]

    def _covariates(self, steps: np.ndarray) -> np.ndarray:
        within = (steps >= 0) & (steps < self.state.lengths[self.series])
        found = np.full((len(steps), self.state.covariates.shape[1]), np.nan)
        found[within] = self.state.covariates[
            self.state.begins[self.series[within]] + steps[within]
        ]
        return found


def _sums(state: SeriesState) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(state.values)])
