"""Values of a series that come with the call: of one the version has never seen, or newer ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from feilun.config import DataConfig
from feilun.data.sources.base import Held, Source
from feilun.data.versions import build
from feilun.engines.base import Engine, open_engine
from feilun.errors import InvalidData
from feilun.modalities.series.history import MOST
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.training.settings import method

DAYS = np.datetime64("2025-01-01") + np.arange(280)
METHODS = ("seasonal-naive", "theta", "ets", "lags")


def _value(shop: int, day: int) -> float:
    return 100.0 * shop + 20 * (day % 7)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    draw = np.random.default_rng(0)
    rows = [
        {"shop": name, "day": str(day), "sales": _value(shop, n) + float(draw.normal())}
        for shop, name in enumerate(("甲", "b"), 1)
        for n, day in enumerate(DAYS)
    ]
    out = tmp_path_factory.mktemp("shops") / "data"
    build([Source(Held(rows))], task=tasks.get("forecasting"), settings=DataConfig(), out=out)
    return Dataset(out)


@pytest.fixture(scope="module")
def engines(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    found = {}
    for name in METHODS:
        folder = tmp_path_factory.mktemp(name)
        out, scratch = folder / "out", folder / "scratch"
        out.mkdir()
        scratch.mkdir()
        settings = data.schema.settings
        job = TrainJob(name, "forecasting", data.folder, None, out, scratch, threads=1,
                       task_settings=settings)  # fmt: skip
        chosen = method(name)
        chosen.train(job, chosen.Settings(), lambda progress: None)
        found[name] = open_engine(out)
    return found


def _asked(data: Dataset, engine: Engine, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    task = tasks.of(data.schema)
    return list(engine.predict([item for row in rows for item in task.expand(task.check(row))]))


@pytest.mark.parametrize("name", METHODS)
def test_a_series_that_is_known_at_the_call_alone(
    data: Dataset, engines: dict[str, Engine], name: str
) -> None:
    noise = np.random.default_rng(1).normal(size=70).tolist()
    history = [_value(5, n) + noise[n] for n in range(70)]
    row = {"series": "new", "horizon": 8, "history": history, "start": "2024-03-01"}
    known = {"series": "甲", "horizon": 1}
    *found, other = _asked(data, engines[name], row, known)
    assert found[0]["time"] == "2024-05-10"
    wanted = [_value(5, 70 + n) for n in range(8)]
    assert [one["value"] for one in found] == pytest.approx(wanted, abs=5)
    assert other == _asked(data, engines[name], known)[0]


@pytest.mark.parametrize("name", METHODS)
def test_newer_values_of_a_known_series_count_instead_of_its_own(
    data: Dataset, engines: dict[str, Engine], name: str
) -> None:
    higher = {"series": "b", "horizon": 3, "history": [_value(9, n) for n in range(35)],
              "start": "2026-01-01"}  # fmt: skip
    lower = {**higher, "history": [_value(1, n) for n in range(35)]}
    first, second = (_asked(data, engines[name], one) for one in (higher, lower))
    assert first[0]["time"] == "2026-02-05"
    gaps = [a["value"] - b["value"] for a, b in zip(first, second, strict=True)]
    assert gaps == pytest.approx([800] * 3, abs=5)


def test_a_row_that_is_kept_has_no_history(data: Dataset) -> None:
    task = tasks.of(data.schema)
    given = {"series": "new", "time": "+1", "history": [1, 2.5, "3"], "start": "2026年1月5日"}
    item = task.check(given)
    assert item == task.check(item)
    assert isinstance(item, dict)
    assert (item["history"], item["start"]) == ([1.0, 2.5, 3.0], "2026-01-05")
    row = {"series": "new", "time": "2026-01-08"}
    assert task.kept(item, {"time": "2026-01-08", "value": 4.0}) == row
    assert task.without_options(item) == {"series": "new", "time": "+1"}
    assert {"history", "start"} <= set(task.input_schema()["properties"])


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"history": "1,2,3"}, "not_a_history"),
        ({"history": {"2026-01-01": 1}}, "not_a_history"),
        ({"history": [1, 2]}, "bad_history"),
        ({"history": [1.0] * (MOST + 1)}, "bad_history"),
        ({"history": [1, None, 3]}, "not_a_value"),
        ({"history": [1, float("nan"), 3]}, "not_a_value"),
        ({"history": [1, [2], 3]}, "not_a_value"),
        ({"history": [1, True, 3]}, "not_a_value"),
        ({"start": None}, "needs_start"),
        ({"start": "+1"}, "needs_start"),
        ({"start": "gestern"}, None),
    ],
)
def test_bad_histories(data: Dataset, wrong: dict[str, Any], code: str | None) -> None:
    row = {"series": "new", "horizon": 2, "history": [1, 2, 3], "start": "2026-01-01", **wrong}
    with pytest.raises(InvalidData) as refused:
        tasks.of(data.schema).check(row)
    assert code is None or refused.value.code == f"forecasts.{code}"
    for lang in ("en", "zh"):
        assert refused.value.message(lang)


def test_a_constant_history_goes_on(data: Dataset, engines: dict[str, Engine]) -> None:
    row = {"series": "flat", "horizon": 2, "history": [7, 7, 7], "start": "2026-01-01"}
    for name in ("seasonal-naive", "theta", "ets"):
        assert [one["value"] for one in _asked(data, engines[name], row)] == [7.0, 7.0]


def test_too_far_ahead_of_a_history_is_refused(data: Dataset, engines: dict[str, Engine]) -> None:
    row = {"series": "new", "time": "+9999", "history": [1, 2, 3], "start": "2026-01-01"}
    with pytest.raises(InvalidData) as refused:
        _asked(data, engines["theta"], row)
    assert refused.value.code == "forecasts.too_far"
