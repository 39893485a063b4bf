"""Series on their grid, what may be used for which time, and how forecasts are judged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.config import DataConfig, ProjectConfig, ProjectSection
from feilun.data.audit.series import series as audit
from feilun.data.outcome import Notice
from feilun.data.sources.base import Source
from feilun.data.versions import build
from feilun.engines._theta import Theta
from feilun.errors import InvalidData
from feilun.families.forecasts import BLOCK, FORECASTS, LEAD, SCALE, VALUE, WIDTH
from feilun.metrics.comparison import scores, values
from feilun.metrics.forecasts import Forecasts
from feilun.metrics.intervals import resampled
from feilun.modalities.series.frequency import DAY, Frequency, find_frequency, parse_frequency
from feilun.modalities.series.lags import Asked
from feilun.modalities.series.state import SeriesState, build_series
from feilun.modalities.series.times import dated, when
from feilun.store.dataset import Dataset
from feilun.tasks import base
from feilun.training.methods.theta import fitted

MONDAY = datetime(2024, 1, 1, tzinfo=UTC).timestamp()


def _days(text: str, count: int) -> np.ndarray:
    return np.arange(np.datetime64(text), np.datetime64(text) + count)


def _seconds(days: np.ndarray) -> np.ndarray:
    return days.astype("datetime64[s]").astype(np.float64)


# Times


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("2024-02", "2024-02-01"),
        ("2024年2月", "2024-02-01"),
        ("202402", "2024-02-01"),
        (202402, "2024-02-01"),
        ("Feb 2024", "2024-02-01"),
        ("2024M02", "2024-02-01"),
        ("2024Q2", "2024-04-01"),
        ("2024年第二季度", "2024-04-01"),
        ("Q2 2024", "2024-04-01"),
        ("2024", "2024-01-01"),
        ("2024年", "2024-01-01"),
        ("2024-02-03", "2024-02-03"),
        ("2024年2月3日", "2024-02-03"),
        ("２０２４/２/３", "2024-02-03"),
        (20240203, "2024-02-03"),
    ],
)
def test_months_quarters_and_years_are_read_as_their_first_day(text: object, first: str) -> None:
    assert when(text, "time") == np.datetime64(first, "s").astype(np.int64)


@pytest.mark.parametrize("text", ["soon", "2024-13", "01/02/2024", "", "2024Q5"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidData):
        when(text, "time")


def test_numbers_that_count_rows_are_no_dates() -> None:
    assert not dated([1, 2, 3])
    assert not dated([1949.0, 1949.083, 1949.167])
    assert dated(["2024-01-01", "2024-01-02"])
    assert dated([20240101, 20240102])
    assert dated([202401, 202402, 202412])
    assert not dated([202401, 202413, 202499])
    assert dated([1_700_000_000, 1_700_003_600])


@pytest.mark.parametrize(
    ("text", "unit", "size"),
    [
        ("h", "s", 3600),
        ("30 min", "s", 1800),
        ("business day", "b", 1),
        ("3 months", "m", 3),
        ("周", "s", 7 * DAY),
        ("30 分钟", "s", 1800),
        ("quarter", "m", 3),
        ("0.25", "n", 0.25),
    ],
)
def test_frequencies_are_read_as_people_write_them(text: str, unit: str, size: float) -> None:
    found = parse_frequency(text)
    assert (found.unit, found.size) == (unit, size)
    assert parse_frequency(found.text) == found


def test_no_frequency_is_refused() -> None:
    for text in ("often", "-1", "0"):
        with pytest.raises(InvalidData, match="no frequency"):
            parse_frequency(text)


def test_frequencies_are_found() -> None:
    months = np.arange("2020-01", "2024-01", dtype="datetime64[M]")
    business = np.busday_offset("2024-01-01", np.arange(60), roll="forward")
    for times, expected in (
        (_seconds(months), Frequency("m", 1)),
        (_seconds(months[::3]), Frequency("m", 3)),
        (_seconds(_days("2024-01-01", 40)), Frequency("s", DAY)),
        (_seconds(business), Frequency("b", 1)),
        (MONDAY + 1800 * np.arange(50.0), Frequency("s", 1800)),
    ):
        found = find_frequency([times], True)
        assert found == expected
        steps = found.steps(float(times[0]), times)
        np.testing.assert_array_equal(steps, np.arange(len(times)))
        np.testing.assert_array_equal(found.times(float(times[0]), steps), times)
    ends = np.array([np.datetime64(d) for d in ("2024-01-31", "2024-02-29", "2024-03-31")])
    month = Frequency("m", 1)
    np.testing.assert_array_equal(month.times(_seconds(ends)[0], np.arange(3)), _seconds(ends))


# The grid


def _series(values: np.ndarray, held: int = 28, **more: object) -> SeriesState:
    times = MONDAY + DAY * np.arange(len(values))
    training = np.arange(len(values)) < len(values) - held
    return build_series(["a"] * len(values), times, values, training, **more).state  # type: ignore[arg-type]


def test_season_and_horizon_are_found_from_training_values() -> None:
    week = np.tile([10.0, 12, 14, 13, 15, 30, 25], 30)
    state = _series(week + np.random.default_rng(0).normal(size=len(week)))
    assert state.seasons[0] == 7
    assert state.horizon == 14
    assert 0.8 < state.scales[0] < 1.5
    drift = np.cumsum(np.random.default_rng(1).normal(size=210))
    assert _series(drift).season == 1


def test_gaps_doubles_and_times_off_the_grid_are_counted() -> None:
    steps = np.array([s for s in range(60) if s not in (20, 41)] + [5, 7.4])
    values = np.where(steps == 5, 9.0, steps)
    values[np.flatnonzero(steps == 5)[0]] = 1.0
    built = build_series(
        ["a"] * len(steps), MONDAY + DAY * steps, values, steps < 50, season=7, frequency="day"
    )
    assert (built.gaps, built.doubled, built.off) == (2, 2, 1)
    assert built.state.values[5] == 5.0  # the mean of 1 and 9
    assert built.state.values[20] == 13.0  # one season before: nothing later was looked at
    assert not built.training[20]


@pytest.mark.parametrize(
    ("names", "steps", "words"),
    [
        (["a", "b"], [1.0, 2.0], "two different times"),
        (["a"] * 20 + ["b"] * 20, [*range(20), *range(0, 600, 30)], "every month"),
    ],
)
def test_what_is_no_series_is_refused(names: list[str], steps: list[float], words: str) -> None:
    times = MONDAY + DAY * np.array(steps)
    with pytest.raises(InvalidData, match=words):
        build_series(names, times, np.ones(len(names)), np.ones(len(names), bool))


def test_nothing_after_the_origin_is_looked_at() -> None:
    """Any change after the origin leaves the answer as it is: of the naive forecast and of all
    that a learnt one sees."""
    draw = np.random.default_rng(0)
    values = 50 + 10 * np.sin(np.arange(200) * 2 * np.pi / 7) + draw.normal(size=200)
    state = _series(values)
    steps = np.arange(172, 200)
    series = np.zeros(len(steps), np.int64)
    origins = state.origins(series, steps)
    assert origins.tolist() == [172] * 14 + [186] * 14
    assert ((steps - origins) < state.horizon).all()
    none = np.zeros((len(steps), 0))
    numeric = np.zeros(0, bool)
    before = Asked(state, series, steps, origins, none).rows(numeric)
    naive = state.naive(series, steps, origins)
    for origin in (172, 186):
        other = state.values.copy()
        other[origin:] += 1000
        changed = SeriesState.read(state.head(), {**state.arrays(), "values": other})
        mine = origins == origin
        again = Asked(changed, series, steps, origins, none).rows(numeric)
        np.testing.assert_allclose(again[mine], before[mine], atol=1e-6)
        np.testing.assert_array_equal(changed.naive(series, steps, origins)[mine], naive[mine])
    ahead = np.array([200, 230])
    assert state.origins(np.zeros(2, np.int64), ahead).tolist() == [200, 200]


# How good it is


def test_scores_are_those_of_the_definitions() -> None:
    truth, predicted = np.array([10.0, 20, 30, 40]), np.array([12.0, 20, 27, 44])
    low, high = predicted - 3, predicted + 3
    scales = np.array([2.0, 2, 1, 1])
    found = values(Forecasts(truth, predicted, scales, low, high))
    assert found["mase"] == pytest.approx((1 + 0 + 3 + 4) / 4)
    assert found["mae"] == pytest.approx(9 / 4)
    assert found["rmse"] == pytest.approx(np.sqrt((4 + 9 + 16) / 4))
    assert found["coverage"] == 0.75
    pinball = [
        max(q * (y - f), (q - 1) * (y - f))
        for q, quantile in ((0.1, low), (0.5, predicted), (0.9, high))
        for y, f in zip(truth, quantile, strict=True)
    ]
    assert found["wql"] == pytest.approx(2 * sum(pinball) / 3 / truth.sum())


def test_errors_after_one_origin_are_drawn_together() -> None:
    blocks = np.repeat(np.arange(20), 25)
    for weights in resampled(500, 50, 0, blocks):
        whole = weights.reshape(len(weights), 20, 25)
        assert (whole == whole[:, :, :1]).all()
        assert (weights.sum(axis=1) == 500).all()
    error = np.repeat(np.random.default_rng(0).normal(size=20), 25)
    truth = np.zeros(500)
    alone = scores(Forecasts(truth, error, np.ones(500)))["mase"]
    together = scores(Forecasts(truth, error, np.ones(500), blocks=blocks))["mase"]
    assert alone is not None
    assert together is not None
    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_a_file_that_goes_on_from_one_origin_has_an_interval() -> None:
    """Its rows are one block, which drawn again is always the same."""
    errors = np.convolve(np.random.default_rng(0).normal(size=96), np.ones(6) / 6, "valid")
    truth = np.zeros(len(errors))
    single = scores(Forecasts(truth, errors, np.ones(len(errors)), blocks=np.zeros(len(errors))))
    rows = scores(Forecasts(truth, errors, np.ones(len(errors))))
    for name in ("mase", "mae", "rmse"):
        one, each = single[name], rows[name]
        assert one is not None
        assert each is not None
        assert one.low < each.low < one.value < each.high < one.high, "neighbours err alike"


def test_intervals_widen_with_the_lead_and_hold_what_they_should() -> None:
    draw = np.random.default_rng(0)

    def some(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        raw = FORECASTS.example_raw(count, (), seed)
        raw[:, VALUE], raw[:, SCALE] = 100.0, 2.0
        raw[:, LEAD] = 1 + np.arange(count) % 10
        raw[:, BLOCK] = np.arange(count) // 10
        return raw, 100 + 2 * np.sqrt(raw[:, LEAD]) * draw.normal(size=count)

    config = ProjectConfig(project=ProjectSection(name="x", task="forecasting"))
    raw, truth = some(4000, 0)
    point, notes = FORECASTS.calibrate(raw, truth, (), config)
    assert not notes
    assert point["above"] == sorted(point["above"])
    assert point["above"][-1] > 2 * point["above"][0]
    raw, truth = some(4000, 1)
    assert 0.77 < values(FORECASTS.measured(truth, raw, (), point))["coverage"] < 0.83  # type: ignore[operator]
    assert FORECASTS.calibrate(raw[:9], truth[:9], (), config) == ({}, [])


def test_a_mean_that_may_be_chance_moves_no_interval() -> None:
    config: Any = ProjectConfig.model_validate({"project": {"name": "a", "task": "forecasting"}})

    def point(mean: float, blocks: int = 6, spread: float = 0.0) -> dict[str, Any]:
        raw = FORECASTS.example_raw(40 * blocks, (), 0)
        raw[:, [VALUE, SCALE, LEAD]] = 0, 1, 1
        raw[:, BLOCK] = np.repeat(np.arange(blocks), 40)
        draw = np.random.default_rng(1)
        noise = draw.normal(size=len(raw))
        errors = noise - noise.mean() + spread * np.repeat(draw.normal(size=blocks), 40)
        errors += mean - errors.mean()
        return FORECASTS.calibrate(raw, errors, (), config)[0]

    def middle(found: dict[str, Any]) -> float:
        return float(found["above"][0] - found["below"][0]) / 2

    assert middle(point(0.5)) == pytest.approx(0.5, abs=0.1)  # of 240 rows each by itself
    # Six origins that lie apart by as much: their common mean is chance.
    assert abs(middle(point(0.5, spread=1.5)) - middle(point(0.0, spread=1.5))) < 0.25


def test_a_series_that_the_other_version_does_not_know_is_left_out_of_the_comparison() -> None:
    from feilun.families.base import Answers

    raw = FORECASTS.example_raw(60, (), 0)
    other = raw.copy()
    other[:20, VALUE] = np.nan
    first, second = (Answers(name, "lags", (), one) for name, one in (("a@1", raw), ("a@2", other)))
    sheet = FORECASTS.sheet(first, {"live": second}, np.zeros(60), ())
    new, rows = sheet.comparable("live")
    assert not new
    assert rows.tolist() == [False] * 20 + [True] * 40
    assert raw.shape[1] == WIDTH


# Tables


def _built(tmp_path: Path, text: str, **columns: str) -> tuple[Dataset, list[str]]:
    file = tmp_path / "a.csv"
    file.write_text(text, "utf-8")
    out = tmp_path / "out"
    out.mkdir()
    task, settings = base.get("forecasting"), base.get("forecasting").Settings().model_dump()
    found = build(
        [Source(str(file), columns=columns)],
        task=task,
        settings=DataConfig(),
        out=out,
        task_settings=settings,
    )
    return Dataset(out), [notice.code for notice in found.warnings]


def _values(data: Dataset) -> dict[tuple[object, object], str | None]:
    return {
        (example.item["series"], example.item["time"]): example.label  # type: ignore[index,call-overload]
        for example in data.examples()
    }


def test_a_column_for_each_month_is_read_as_rows(tmp_path: Path) -> None:
    months = [f"2024年{month}月" for month in range(1, 13)]
    lines = ["门店,城市," + ",".join(months)]
    lines += [
        f"{shop},北京," + ",".join(str(n + m) for m in range(12))
        for n, shop in ((1, "东"), (50, "西"))
    ]
    data, warnings = _built(tmp_path, "\n".join(lines).replace("50,51", "50,"))
    assert "forecasts.wide" in warnings
    found = _values(data)
    assert len(found) == 23
    assert found["东 / 北京", "2024-03-01"] == "3"
    assert ("西 / 北京", "2024-02-01") not in found


def test_a_column_for_each_series_is_read_as_rows(tmp_path: Path) -> None:
    lines = ["date,north,south"]
    lines += [f"2024-01-{day:02},{day},{100 + day}" for day in range(1, 25)]
    data, warnings = _built(tmp_path, "\n".join(lines))
    assert "forecasts.wide" in warnings
    found = _values(data)
    assert len(found) == 48
    assert found["south", "2024-01-05"] == "105"


def test_a_named_value_keeps_the_other_numbers_covariates(tmp_path: Path) -> None:
    lines = ["ds,y,price,note"]
    lines += [f"2024-01-{day:02},{day},{day % 3}.5,row {day} of many words" for day in range(1, 25)]
    data, warnings = _built(tmp_path, "\n".join(lines))
    assert data.schema.settings["inputs"] == [
        ["series", "category"],
        ["time", "date"],
        ["price", "number"],
    ]
    assert "forecasts.out_kind" in warnings
    assert len(data) == 24


def test_columns_are_taken_by_the_roles_that_are_given(tmp_path: Path) -> None:
    lines = ["when it was,where,what"]
    lines += [
        f"2024-01-{day:02},{place},{day}" for day in range(1, 25) for place in ("here", "there")
    ]
    given = {"time": "when it was", "series": "where", "label": "what"}
    found = _values(_built(tmp_path, "\n".join(lines), **given)[0])
    assert found["there", "2024-01-24"] == "24"
    assert len(found) == 48


def test_without_a_time_the_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="no column holds times"):
        _built(tmp_path, "shop,sales\n" + "\n".join(f"a,{n % 7}" for n in range(30)))


def test_equal_times_with_other_values_are_left_out_and_bad_times_told(tmp_path: Path) -> None:
    lines = ["date,sales"] + [f"2024-01-{day:02},{day}" for day in range(1, 25)]
    lines += ["2024-01-05,99", "someday,4", "2024-01-06,many"]
    data, warnings = _built(tmp_path, "\n".join(lines))
    assert (None, "2024-01-05") not in _values(data)
    assert len(data) == 23
    assert "data.undecided" in warnings


def test_the_audit_finds_what_spoils_forecasts(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    lines = ["date,shop,sales,open"]
    for step in range(80):
        day = np.datetime64("2024-01-01") + step
        if step not in (30, 31):
            lines.append(f"{day},north,{100 + 10 * (step % 7) + draw.normal():.2f},1")
        lines.append(f"{day},south,7,1")
        lines.append(f"{day},west,{50 + 200 * (step >= 40) + draw.normal():.2f},1")
    lines += [f"2024-01-0{n},new,{n},1" for n in range(1, 5)] + ["2024-01-10,north,130,0"]
    (tmp_path / "mixed").mkdir()
    weekly = [f"{np.datetime64('2024-01-01') + 7 * step},weekly,{step},1" for step in range(30)]
    mixed, _ = _built(tmp_path / "mixed", "\n".join([*lines, *weekly]))
    (refused,) = (draft.finding for draft in audit(mixed, Notice("x", {})))
    assert (refused.code, refused.params["series"]) == ("mixed_frequencies", "weekly")
    data, _ = _built(tmp_path, "\n".join(lines))
    found = {draft.finding.code: draft.finding for draft in audit(data, Notice("x", {}))}
    assert found["gaps"].count == 2
    assert found["doubled_times"].count == 1
    assert found["constant_series"].params["series"] == ["south"]
    assert found["short_series"].params["series"] == ["new"]
    assert found["level_shifts"].params["series"] == ["west 2024-02-10"]
    assert set(found) == {
        "gaps", "doubled_times", "constant_series", "short_series", "level_shifts",
    }  # fmt: skip


def test_theta_carries_level_trend_and_season_on() -> None:
    steps = np.arange(140)
    season = np.array([1.0, 1.2, 1.4, 1.3, 1.1, 0.6, 0.4])
    noise = np.random.default_rng(0).normal(size=140)
    state = _series((100 + steps) * season[steps % 7] + noise, held=28)
    alpha, drift, found, multiply = fitted(state, state.values[:112])
    assert multiply
    np.testing.assert_allclose(found, season, rtol=0.05)
    model = Theta(
        np.array([alpha]), np.array([drift]), found[None], np.array([multiply]), np.zeros(0)
    ).settled(state)
    asked = np.arange(112, 140)
    series = np.zeros(28, np.int64)
    origins = state.origins(series, asked)
    said = model(state, series, asked, origins, np.zeros((28, 0)))
    error = np.abs(said - state.values[112:]).mean()
    assert error < 0.7 * np.abs(state.naive(series, asked, origins) - state.values[112:]).mean()
    changed = state.values.copy()
    changed[126:] += 1000
    other = SeriesState.read(state.head(), {**state.arrays(), "values": changed})
    again = model.settled(other)(other, series, asked, origins, np.zeros((28, 0)))
    np.testing.assert_allclose(again[:14], said[:14])
