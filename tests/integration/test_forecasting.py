"""The whole wheel with series: rows of two shops, forecasts with intervals, true values as
corrections, update."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun import messages
from feilun.errors import InvalidData
from feilun.evaluation.result import Evaluation
from feilun.families.forecasts import FORECASTS
from feilun.project import Project, Workspace
from feilun.serving.process import temporary_server
from helpers.earlier import stored_report

FIRST = date(2025, 1, 6)
DAYS = 280


def _sales(shop: str, day: int, promotion: int, noise: float = 0.0) -> float:
    level = {"东门店": 120.0, "西门店": 60.0}[shop]
    week = 1 + 0.35 * math.sin(2 * math.pi * (day % 7) / 7)
    return round(level * week + 25 * promotion + 0.05 * day + noise, 2)


def _rows(first: int, last: int, seed: int = 0) -> list[tuple[str, str, int, float]]:
    draw = random.Random(seed)
    found = []
    for day in range(first, last):
        when = FIRST + timedelta(days=day)
        for shop in ("东门店", "西门店"):
            promotion = int(draw.random() < 0.2)
            noise = draw.gauss(0, 4)
            written = f"{when.year}年{when.month}月{when.day}日"
            found.append((shop, written, promotion, _sales(shop, day, promotion, noise)))
    return found


def _write(path: Path, rows: list[tuple[str, str, int, float]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("门店", "日期", "促销", "销量"))
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that has gone live with both shops."""
    messages.use("en")
    folder = tmp_path_factory.mktemp("shops")
    with Workspace(folder / "w") as workspace:
        project = workspace.init("shops", task="forecasting")
        project.add(_write(folder / "a.csv", _rows(0, DAYS)))
        project.run(method="lags")
        yield project


def _dataset(project: Project) -> Any:
    from feilun.store.dataset import Dataset

    data = project.workspace.store.catalog.latest_data("shops")
    assert data is not None
    return Dataset(project.workspace.store.artifacts.path(data.artifact))


def test_columns_are_found_by_chinese_names_and_the_newest_rows_of_each_series_judge(
    project: Project,
) -> None:
    dataset = _dataset(project)
    settings = dataset.schema.settings
    assert settings["inputs"] == [["series", "category"], ["time", "date"], ["促销", "number"]]
    assert settings["names"] == {"series": "门店", "time": "日期"}
    newest = {
        split: [example.item for example in dataset.examples(split)]
        for split in ("train", "validation", "test")
    }
    for shop in ("东门店", "西门店"):
        times = {
            split: [item["time"] for item in items if item["series"] == shop]
            for split, items in newest.items()
        }
        assert len(times["test"]) == len(times["validation"]) == DAYS // 10
        assert max(times["train"]) < min(times["validation"])
        assert max(times["validation"]) < min(times["test"])


def test_it_is_judged_in_units_of_the_naive_forecast(project: Project) -> None:
    record = project.model("live").record
    assert record.method == "lags"
    found = project.evaluate()
    assert set(found.metrics) == set(FORECASTS.metrics)
    mase = found.metrics["mase"]
    assert mase is not None
    assert mase["low"] < mase["value"] < mase["high"]
    assert found.report is not None
    page = Path(found.report).read_text("utf-8")
    assert "Forecasts and true values" in page
    assert "预测值与真实值" in page
    assert 'class="band"' in page
    raw = stored_report(project.workspace.store, record)["evaluation"]
    assert Evaluation.from_json(raw).to_json() == raw
    assert raw["blocks"] == 2 * DAYS // 10 // 14


@pytest.mark.slow
def test_a_horizon_a_correction_and_an_update(project: Project) -> None:
    workspace = project.workspace
    with temporary_server(workspace.folder, workspace.settings) as address:
        key = workspace.create_key("Ada")
        headers = {"Authorization": f"Bearer {key.secret}"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as http:

            def asked(inputs: Any) -> Any:
                body = {"model": "shops", "inputs": inputs}
                return http.post("/v1/predict", json=body).json()

            answer = asked({"series": "东门店", "horizon": 14})
            outputs = answer["outputs"]
            days = [(FIRST + timedelta(days=DAYS + n)).isoformat() for n in range(14)]
            assert [one["time"] for one in outputs] == days
            assert all(one["low"] < one["value"] < one["high"] for one in outputs)
            assert answer["usage"]["inputs"] == 14
            # A covariate that is given holds for all steps, and it is known what it does.
            promoted = asked({"series": "东门店", "horizon": 14, "促销": 1})["outputs"]
            plain = asked({"series": "东门店", "horizon": 14, "促销": 0})["outputs"]
            gain = [a["value"] - b["value"] for a, b in zip(promoted, plain, strict=True)]
            assert 15 < sum(gain) / 14 < 35
            # One value by its date, under the data's own names, is the same answer.
            third = asked({"门店": "东门店", "日期": days[2]})["outputs"][0]
            assert third == outputs[2]
            # A shop that is known at the call alone.
            week = [_sales("西门店", day, 0) for day in range(28)]
            opened = {"series": "北门店", "horizon": 7, "history": week, "start": "2026-03-02"}
            first, *_ = asked(opened)["outputs"]
            assert first["time"] == "2026-03-30"
            assert first["low"] < first["value"] < first["high"]
            assert first["value"] == pytest.approx(week[0], abs=20)
            for inputs, words in (
                ({**opened, "start": None}, "no start"),
                ({**opened, "history": [1, "x", 2]}, "history[1]"),
                ({"series": "北门店", "horizon": 3}, "北门店"),
                ({"series": "东门店"}, "time is missing"),
                ({"series": "东门店", "horizon": 0}, "whole number"),
                ({"series": "东门店", "horizon": 513}, "512"),
                ({"series": "东门店", "time": "2033-01-01"}, "after the last value"),
                ({"series": "东门店", "time": "2023-01-01"}, "before the first value"),
                ({"series": "东门店", "time": "soon"}, "soon"),
            ):
                refused = asked(inputs)
                assert words in refused["error"]["message"], refused
            # The true values arrive, as corrections of the forecasts.
            for shop in ("东门店", "西门店"):
                given = asked({"series": shop, "horizon": 14})
                for index in range(14):
                    label = _sales(shop, DAYS + index, 0)
                    said = {"prediction_id": given["id"], "index": index, "label": label}
                    assert http.post("/v1/feedback", json=said).status_code == 200
            spec = http.get("/v2/models/shops").json()
            assert [one["name"] for one in spec["outputs"]] == ["time", "value", "low", "high"]
            document = http.get("/openapi.json").json()
            assert "ForecastingOutput" in document["components"]["schemas"]
    turned = project.update()
    assert turned.stages
    rows = {
        (example.item["series"], example.item["time"]): example.label
        for example in _dataset(project).examples()
    }
    assert rows["东门店", days[3]] == str(_sales("东门店", DAYS + 3, 0))
    newer = project.predict([{"series": "东门店", "horizon": 1}], model=turned.stages[-1].version)
    assert newer.outputs[0]["time"] == (FIRST + timedelta(days=DAYS + 14)).isoformat()


def test_rows_of_a_file_are_answered_and_judged(project: Project, tmp_path: Path) -> None:
    file = _write(tmp_path / "new.csv", _rows(DAYS, DAYS + 14, seed=5))
    said = project.predict_files([str(file)])
    assert all(output["low"] <= output["value"] <= output["high"] for output in said.outputs)
    judged = project.evaluate(on=file)
    assert judged.metrics["mase"] is not None


def test_times_of_two_days_alone_are_no_series(tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        project = workspace.init("short", task="forecasting")
        rows = [(f"{n}号店", f"2025年1月{1 + n % 2}日", 0, float(n)) for n in range(40)]
        project.add(_write(tmp_path / "a.csv", rows))
        with pytest.raises(InvalidData, match="two different times"):
            project.run()
