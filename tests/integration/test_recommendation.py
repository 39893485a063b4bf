"""The whole wheel with rankings for answers: data, training, gate, serving, clicks, update."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from feilun import messages
from feilun.evaluation.result import Evaluation
from feilun.families.ranking import RANKING
from feilun.project import Project, Workspace
from feilun.serving.process import temporary_server
from feilun.store.dataset import Dataset
from helpers.earlier import stored_report

KINDS = ("茶", "咖啡", "wine")


def _write(path: Path, users: int, first: int = 0) -> Path:
    """Each user takes eight of the twelve items of one kind, and one of all others, in any order
    of users."""
    draw = np.random.default_rng(first)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("用户编号", "商品名", "商品编号", "评分", "时间"))
        for user in range(first, first + users):
            kind = KINDS[user % 3]
            taken = [f"{kind} {n}" for n in draw.choice(12, 8, replace=False)]
            taken.append(f"{KINDS[draw.integers(3)]} {draw.integers(12)}")
            for item in taken:
                moment = 1_600_000_000 + int(draw.integers(10_000_000))
                writer.writerow((user, item.upper(), item, draw.integers(1, 6), moment))
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that recommends, whose model has gone live."""
    messages.use("en")
    folder = tmp_path_factory.mktemp("drinks")
    with Workspace(folder / "w") as workspace:
        project = workspace.init("drinks", task="recommendation")
        project.add(_write(folder / "a.csv", 150))
        project.run(method="neighbours")
        yield project


def test_neighbours_know_more_than_popularity(project: Project) -> None:
    live = project.model("live").record
    assert live.method == "neighbours"
    found = project.evaluate()
    assert set(found.metrics) == set(RANKING.metrics)
    ndcg = found.metrics["ndcg"]
    assert ndcg is not None
    assert ndcg["low"] <= ndcg["value"] <= ndcg["high"]
    raw = stored_report(project.workspace.store, live)["evaluation"]
    assert Evaluation.from_json(raw).to_json() == raw
    beside = Evaluation.from_json(raw).against("baseline")
    assert beside is not None
    assert beside.name == "drinks@1"
    assert beside.gain["ndcg"].low > 0
    assert raw["catalogue"] == 36
    assert found.report is not None
    page = Path(found.report).read_text("utf-8")
    assert "How soon the right items come" in page
    assert "正确物品排得多靠前" in page


def test_a_file_of_later_rows_is_judged_by_user(project: Project, tmp_path: Path) -> None:
    found = project.evaluate(on=str(_write(tmp_path / "later.csv", 12, first=900)))
    assert found.rows == 12
    assert found.metrics["ndcg"]["value"] > 0.2  # type: ignore[index]


@pytest.mark.slow
def test_a_call_a_click_and_an_update(project: Project) -> None:
    workspace = project.workspace
    with temporary_server(workspace.folder, workspace.settings) as address:
        headers = {"Authorization": f"Bearer {workspace.create_key('Ada').secret}"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as http:
            asked = [{"history": ["茶 1", "茶 2"], "k": 4}, {"user": "3", "k": 3}, "never seen"]
            answer = http.post("/v1/predict", json={"model": "drinks", "inputs": asked}).json()
            told, known, unknown = answer["outputs"]
            assert [one["item"][0] for one in told["items"]] == ["茶"] * 4
            assert set(told["items"][0]["because"]) <= {"茶 1", "茶 2"}
            assert len(known["items"]) == 3
            assert (known["basis"], unknown["basis"]) == ("history", "popularity")
            click = {"prediction_id": answer["id"], "index": 0, "label": told["items"][2]["item"]}
            assert http.post("/v1/feedback", json=click).json()["label"] == click["label"]
            both = {**click, "index": 1, "label": ["茶 1", "new tea"]}
            assert http.post("/v1/feedback", json=both).json()["label"] == '["茶 1","new tea"]'
            wrong = http.post("/v1/feedback", json={**click, "label": True})
            assert wrong.status_code == 422
            bad = {"model": "drinks", "inputs": [{"user": "3", "k": 0}]}
            refused = http.post("/v1/predict", json=bad)
            assert refused.status_code == 422
            assert "k is 0" in refused.json()["error"]["message"]
            for user in range(25):
                given = {"model": "drinks", "inputs": [{"user": user, "k": 2}]}
                one = http.post("/v1/predict", json=given).json()
                item = one["outputs"][0]["items"][1]["item"]
                said = {"prediction_id": one["id"], "index": 0, "label": item}
                assert http.post("/v1/feedback", json=said).status_code == 200
            tensor = {"name": "user", "datatype": "BYTES", "shape": [2], "data": ["3", "nobody"]}
            inferred = http.post("/v2/models/drinks/infer", json={"inputs": [tensor]}).json()
            (output,) = inferred["outputs"]
            assert [json.loads(one)["basis"] for one in output["data"]] == ["history", "popularity"]
            document = http.get("/openapi.json").json()
            assert "RecommendationOutput" in document["components"]["schemas"]
    turned = project.update()
    assert turned.stages
    data = workspace.store.catalog.latest_data("drinks")
    assert data is not None
    assert data.id == "drinks:2"
    added = project.workspace.store.artifacts.path(data.artifact)
    rows = [one for one in Dataset(added).examples() if one.source.startswith("feedback")]
    assert len(rows) == 27
    assert {one.split for one in rows} == {"train"}
    assert '{"history":["茶 1","茶 2"]}' in {one.item for one in rows}, "k is no part of a row"
