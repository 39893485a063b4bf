"""Intervals that widen where a version errs more of late, and never by what came later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from feilun.config import DataConfig, ProjectConfig
from feilun.data.sources.base import Held, Source
from feilun.data.versions import build
from feilun.engines._error_levels import Levels
from feilun.engines.base import open_engine
from feilun.errors import CorruptArtifact
from feilun.families.forecasts import FORECASTS, SCALE, SPREAD, VALUE
from feilun.modalities.series.state import SeriesState, build_series
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.training.settings import method


def _state(values: int = 60, train: int = 30, horizon: int = 5) -> SeriesState:
    names = ["a"] * values + ["b"] * values
    times = np.tile(np.arange(values) * 86_400.0, 2)
    training = np.tile(np.arange(values) < train, 2)
    built = build_series(names, times, np.arange(2.0 * values), training, season=1, horizon=horizon)
    return built.state


def test_a_level_is_the_faded_mean_of_the_errors_before_its_origin() -> None:
    state = _state()
    errors = np.full(len(state.values), np.nan)
    errors[30:60] = np.repeat([1.0, 3.0, 3.0, 0.0, 0.0, 0.0], 5)
    levels = Levels.of(state, errors, usual=2.0)
    series, origins = np.zeros(7, np.int64), np.array([30, 35, 40, 45, 50, 55, 60])
    wanted, level = [], 2.0
    for after in (1.0, 3.0, 3.0, 0.0, 0.0, 0.0, None):
        wanted.append(level / 2)
        level = level if after is None else 0.6 * level + 0.4 * after
    assert levels.at(state, series, origins) == pytest.approx(np.maximum(wanted, 0.5))
    assert levels.at(state, series + 1, origins) == pytest.approx(1.0)
    assert levels.at(state, series[:1], np.array([12])) == pytest.approx(1.0)


def test_no_level_depends_on_what_comes_after_its_origin() -> None:
    state = _state()
    draw = np.random.default_rng(0)
    errors = draw.uniform(0.5, 2, len(state.values))
    series, origins = np.zeros(3, np.int64), np.array([30, 35, 40])
    before = Levels.of(state, errors, 1.0).at(state, series, origins)
    errors[40:60] *= 100
    assert (Levels.of(state, errors, 1.0).at(state, series, origins) == before).all()


def test_levels_have_bounds_and_need_something_usual() -> None:
    state = _state()
    series, end = np.zeros(1, np.int64), np.array([60])
    for error, usual, level in ((1e9, 1.0, 10.0), (0.0, 1.0, 0.5), (1.0, 0.0, 1.0)):
        errors = np.full(len(state.values), error)
        assert Levels.of(state, errors, usual).at(state, series, end) == pytest.approx([level])


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    """A version of a series whose noise grows to four times as much where it is judged."""
    place = tmp_path_factory.mktemp("noisy")
    draw = np.random.default_rng(1)
    noise = draw.normal(size=700) * np.where(np.arange(700) >= 525, 4.0, 1.0)
    days = np.datetime64("2024-01-01") + np.arange(700)
    rows = [
        {"day": str(day), "value": 50 + 10 * (n % 7) + float(one)}
        for n, (day, one) in enumerate(zip(days, noise, strict=True))
    ]
    task, settings = tasks.get("forecasting"), DataConfig(test=0.25)
    build([Source(Held(rows))], task=task, settings=settings, out=place / "data")
    data = Dataset(place / "data")
    out, scratch = place / "out", place / "scratch"
    out.mkdir()
    scratch.mkdir()
    kept = data.schema.settings
    job = TrainJob("theta", task.name, data.folder, None, out, scratch, task_settings=kept)
    chosen = method("theta")
    chosen.train(job, chosen.Settings(), lambda progress: None)
    return data, out


def test_intervals_widen_where_errors_grow(noisy: tuple[Dataset, Path]) -> None:
    data, out = noisy
    engine = open_engine(out)
    raw = {split: engine.raw(data.items(split)) for split in ("validation", "test")}
    truth = {one: np.array([float(v) for v in data.values("label", one) if v]) for one in raw}
    config = ProjectConfig.model_validate({"project": {"name": "x", "task": "forecasting"}})

    def covered(column: int) -> float:
        given = {split: rows.copy() for split, rows in raw.items()}
        for rows in given.values():
            rows[:, SPREAD] = rows[:, column]
        point, _ = FORECASTS.calibrate(given["validation"], truth["validation"], (), config)
        measured = FORECASTS.measured(truth["test"], given["test"], (), point)
        return float(measured.replicates(np.ones((1, len(truth["test"]))))["coverage"][0])

    assert np.isfinite(raw["test"][:, VALUE]).all()
    assert covered(SCALE) < 0.55
    assert 0.7 < covered(SPREAD) < 0.9


def test_a_version_without_levels_keeps_its_intervals(
    noisy: tuple[Dataset, Path], tmp_path: Path
) -> None:
    data, out = noisy
    for file in out.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "levels.safetensors").unlink()
    raw = open_engine(tmp_path).raw(data.items("test"))
    assert (raw[:, SPREAD] == raw[:, SCALE]).all()
    (tmp_path / "levels.safetensors").write_bytes(b"no")
    with pytest.raises(CorruptArtifact):
        open_engine(tmp_path)
