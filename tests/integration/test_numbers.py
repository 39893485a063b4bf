"""The whole wheel with numbers for answers: data, training, gate, serving, feedback, update."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from feilun import messages
from feilun.errors import InvalidData, UsageError
from feilun.evaluation.result import Evaluation
from feilun.families.numbers import NUMBERS
from feilun.project import Project, Workspace
from feilun.serving.process import temporary_server
from helpers.earlier import stored_report

HEAD = ("district", "area", "year", "价格")


def _rows(count: int, seed: int = 0) -> list[tuple[str, float, int, float]]:
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        district = draw.choice(["north", "centre", "港口"])
        area, year = draw.uniform(30, 180), draw.randint(1950, 2020)
        price = 900 * area + 400 * (year - 1950) + (60_000 if district == "centre" else 0)
        found.append((district, round(area, 1), year, round(price + draw.gauss(0, 8_000), 2)))
    return found


def _write(path: Path, rows: list[tuple[str, float, int, float]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEAD)
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose model has gone live."""
    messages.use("en")
    folder = tmp_path_factory.mktemp("houses")
    with Workspace(folder / "w") as workspace:
        project = workspace.init("houses", task="tabular-regression")
        project.add(_write(folder / "a.csv", _rows(700)))
        project.run(method="linear")
        yield project


def test_the_target_is_found_by_its_chinese_name_and_counted_as_one_stratum(
    project: Project,
) -> None:
    data = project.workspace.store.catalog.latest_data("houses")
    assert data is not None
    assert {name for part in data.counts.values() for name in part} == {"numbers"}
    dataset = project.workspace.store.artifacts.path(data.artifact)
    schema = json.loads((dataset / "dataset.json").read_text("utf-8"))["schema"]
    assert schema["labels"] == []
    assert [name for name, _ in schema["settings"]["inputs"]] == ["district", "area", "year"]


def test_it_is_judged_by_r2_with_intervals(project: Project) -> None:
    found = project.evaluate()
    r2, coverage = found.metrics["r2"], found.metrics["coverage"]
    assert r2 is not None
    assert coverage is not None
    assert r2["low"] <= r2["value"] <= r2["high"]
    assert r2["value"] > 0.8
    assert coverage["low"] < 0.8 < coverage["high"]
    assert set(found.metrics) == set(NUMBERS.metrics)
    assert found.report is not None
    page = Path(found.report).read_text("utf-8")
    assert "Predicted and true numbers" in page
    assert "预测值与真实值" in page
    record = project.model("live").record
    raw = stored_report(project.workspace.store, record)["evaluation"]
    assert Evaluation.from_json(raw).to_json() == raw
    assert len(raw["points"]) == min(400, raw["rows"])


@pytest.mark.slow
def test_a_call_a_correction_and_an_update(project: Project) -> None:
    workspace = project.workspace
    with temporary_server(workspace.folder, workspace.settings) as address:
        key = workspace.create_key("Ada")
        headers = {"Authorization": f"Bearer {key.secret}"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as http:
            row = {"district": "港口", "area": 100, "year": 1990}
            body = {"model": "houses", "inputs": [row, {"area": 50}], "explain": True}
            answer = http.post("/v1/predict", json=body).json()
            first, second = answer["outputs"]
            assert first["low"] < first["value"] < first["high"]
            assert first["value"] == pytest.approx(106_000, rel=0.15)
            assert second["value"] < first["value"]
            assert len(first["explanation"]["parts"]) == 3
            said = {"prediction_id": answer["id"], "index": 0, "label": 91234.5}
            assert http.post("/v1/feedback", json=said).json()["label"] == "91234.5"
            wrong = http.post("/v1/feedback", json={**said, "label": "much"})
            assert wrong.status_code == 422
            assert "not a number" in wrong.json()["error"]["message"]
            rows = _rows(25, seed=9)
            for district, area, year, price in rows:
                row = {"district": district, "area": area, "year": year}
                said = {"label": price, "index": 0}
                given = http.post("/v1/predict", json={"model": "houses", "inputs": [row]}).json()
                corrected = http.post("/v1/feedback", json={**said, "prediction_id": given["id"]})
                assert corrected.status_code == 200
            spec = http.get("/v2/models/houses").json()
            assert [one["name"] for one in spec["outputs"]] == ["value", "low", "high"]
            document = http.get("/openapi.json").json()
            assert "TabularRegressionOutput" in document["components"]["schemas"]
    turned = project.update()
    assert turned.stages
    assert project.workspace.store.catalog.latest_data("houses").id == "houses:2"


def test_a_forecast_says_what_it_is_for(project: Project) -> None:
    with pytest.raises(UsageError, match="class"):
        project.forecast(gain=0.02)


def test_rows_of_a_file_are_answered_and_judged(project: Project, tmp_path: Path) -> None:
    file = _write(tmp_path / "new.csv", _rows(60, seed=5))
    said = project.predict_files([str(file)])
    assert all(output["low"] <= output["value"] <= output["high"] for output in said.outputs)
    judged = project.evaluate(on=file)
    assert judged.metrics["rmse"] is not None


@pytest.mark.parametrize("given", ["much", True, [1], float("inf"), b"1", "1,23,4"])
def test_what_is_no_number_is_refused(given: object) -> None:
    with pytest.raises(InvalidData, match="number"):
        NUMBERS.target(given)  # type: ignore[arg-type]


def test_numbers_are_written_in_one_way() -> None:
    assert NUMBERS.target("1,234.50") == NUMBERS.target(1234.5) == "1234.5"
    assert NUMBERS.target(" 3.0 ") == NUMBERS.target(3) == "3"
    assert NUMBERS.target("−2e3") == "-2000"
    assert NUMBERS.target("n/a") is NUMBERS.target("") is None
    assert NUMBERS.target(-0.0) == "0"


def test_one_value_only_teaches_nothing(tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        project = workspace.init("flat", task="tabular-regression")
        rows = [(d, a, y, 5.0) for d, a, y, _ in _rows(40)]
        with pytest.raises(InvalidData, match="5"):
            project.add(_write(tmp_path / "flat.csv", rows))


def test_rows_without_a_number_are_bad_rows(tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        project = workspace.init("holes", task="tabular-regression")
        path = _write(tmp_path / "holes.csv", _rows(40))
        text = path.read_text("utf-8").splitlines()
        text[3] = text[3].rsplit(",", 1)[0] + ",unknown"
        path.write_text("\n".join(text) + "\n", "utf-8")
        added = project.add(path)
        assert added.report["bad"] == 1
