"""Scorecards: bins that can be believed, points that can be added up by hand, and reasons."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.config import DataConfig, TrainingConfig
from feilun.data.sources.base import Source
from feilun.data.versions import build
from feilun.engines.base import open_engine
from feilun.engines.explain import explain
from feilun.engines.scorecard import Scorecard, ScorecardEngine
from feilun.errors import InvalidData, InvalidSettings
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training.binning import categories, numbers
from feilun.training.job import DataStats, Machine, TrainJob
from feilun.training.plan import plan
from feilun.training.settings import method, methods
from feilun.types import Item


def write(file: Path, labels: tuple[str, ...] = ("paid", "default"), rows: int = 900) -> Path:
    """Loans: young, poor tenants default; the colour says nothing."""
    draw = random.Random(3)
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["income", "age", "home", "since", "colour", "status"])
        for _ in range(rows):
            income, age = draw.lognormvariate(8, 0.5), draw.randrange(18, 75)
            home = draw.choice(
                ["rent", "own", "parents", "boat"][: 4 if draw.random() < 0.1 else 3]
            )
            odds = 1.5 - income / 1500 - (age - 40) / 20 + {"rent": 1.0, "own": -1.0}.get(home, 0)
            bad = draw.random() < 1 / (1 + np.exp(-odds))
            writer.writerow(
                [
                    f"{income:.0f}" if draw.random() < 0.9 else "",
                    age,
                    home,
                    f"20{draw.randrange(10, 26)}-03-01",
                    draw.choice("rgb"),
                    labels[int(bad)] if draw.random() < 0.97 else labels[-1],
                ]
            )
    return file


def data_of(folder: Path, **more: Any) -> Dataset:
    task = tasks.get("tabular-classification")
    settings = task.Settings().model_dump()
    source = Source(write(folder / "loans.csv", **more))
    build([source], task=task, settings=DataConfig(), out=folder / "data", task_settings=settings)
    return Dataset(folder / "data")


def trained(data: Dataset, out: Path, **settings: Any) -> ScorecardEngine:
    out.mkdir(exist_ok=True)
    chosen, given = method("scorecard"), data.schema.settings
    job = TrainJob(
        "scorecard", data.schema.task, data.folder, None, out, out, task_settings=given, threads=1
    )
    chosen.train(job, chosen.Settings(**settings), lambda _: None)
    engine = open_engine(out)
    assert isinstance(engine, ScorecardEngine)
    return engine


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return data_of(tmp_path_factory.mktemp("loans"))


@pytest.fixture(scope="module")
def folder(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("card")
    trained(data, out, pdo=40, base_score=500, base_odds=10).close()
    return out


@pytest.fixture(scope="module")
def engine(folder: Path) -> ScorecardEngine:
    found = open_engine(folder)
    assert isinstance(found, ScorecardEngine)
    return found


def by_hand(lines: list[list[str]], item: Item) -> int:
    """The sum of points, read off the printed table as a clerk would."""
    assert isinstance(item, Mapping)
    total = int(lines[1][2])
    for name, value in item.items():
        fitting = [
            points for column, said, points, *_ in lines if column == name and fits(said, value)
        ]
        total += int(fitting[0]) if fitting else 0
    return total


def fits(said: str, value: Any) -> bool:
    """Whether a cell stands in the line that says ``< 3``, ``3 – < 7``, ``≥ 7``, ``a, b`` …"""
    if value is None or said == "–":
        return value is None and said == "–"
    ends = [part.strip("≥< ") for part in said.split("–")]
    if said == "*" or (isinstance(value, str) and not ends[0][:1].isdigit()):
        return said == "*" or value in said.split(", ")
    low, high = ("", ends[0]) if said.startswith("<") else (ends[0], ([*ends, ""])[1])
    if isinstance(value, str):  # dates of equal length compare as texts
        return low <= value and (not high or value < high)
    return (not low or float(low) <= value) and (not high or value < float(high))


def test_the_printed_card_and_the_answers_agree(
    data: Dataset, folder: Path, engine: ScorecardEngine
) -> None:
    with (folder / "scorecard.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file))
    items = list(data.items("test"))[:50]
    outputs = engine.predict(items)
    assert [one["points"] for one in outputs] == [by_hand(lines, item) for item in items]
    card = engine.scorecard
    assert card.label == "paid"  # the more frequent one
    for output in outputs:
        odds = 10 * 2 ** ((output["points"] - 500) / 40)
        likely = odds / (1 + odds)
        assert output["score"] == pytest.approx(max(likely, 1 - likely), rel=1e-5)
    assert card == Scorecard.from_json(json.loads((folder / "scorecard.json").read_text("utf-8")))
    page = (folder / "scorecard.html").read_text("utf-8")
    assert "points more double the odds" in page
    assert "几率翻倍" in page


def test_columns_that_say_nothing_are_left_out_and_the_others_tell_labels_apart(
    data: Dataset, engine: ScorecardEngine
) -> None:
    names = {column.name for column in engine.scorecard.columns}
    assert {"income", "age", "home"} <= names
    assert "colour" not in names
    truth = data.labels("test") == data.schema.labels.index("paid")
    points = np.array([one["points"] for one in engine.predict(list(data.items("test")))])
    beaten = (points[truth][:, None] > points[~truth]).mean()
    assert beaten > 0.75
    for column in engine.scorecard.columns:
        bins = (*column.bins, column.missing)
        assert min(one.points for one in bins) == 0
        assert column.most == max(one.points for one in bins)


def test_reasons_are_the_points_that_are_lost(engine: ScorecardEngine) -> None:
    task = tasks.of(engine.card.schema)
    item = task.check({"income": 800, "age": 20, "home": "rent"})
    why = explain(engine, item)
    assert why is not None
    said = why.to_output()
    points = {one["column"]: (one["points"], one["most"]) for one in said["parts"]}
    assert points["age"][0] < points["age"][1]
    assert (
        sum(given for given, _ in points.values()) + engine.scorecard.base
        == (engine.predict([item])[0]["points"])
    )
    lost = [most - given for given, most in points.values()]
    first = said["reasons"]["en"][0]
    assert f"of {list(points.values())[lost.index(max(lost))][1]} points" in first
    assert said["reasons"]["zh"][0].startswith("列 ")
    best = task.check({"income": 9000, "age": 74, "home": "own"})
    found = explain(engine, best, "paid", "default")
    assert found is not None
    assert not any(one.startswith(("home", "age")) for one in found.to_output()["reasons"]["en"])


def test_strangers_and_gaps_are_answered(engine: ScorecardEngine) -> None:
    task = tasks.of(engine.card.schema)
    rows = [{"home": "castle"}, {"age": 1e9}, {"age": -1e9, "income": 0}, {"age": None}]
    outputs = engine.predict([task.check(row) for row in rows], all_scores=True)
    assert all(isinstance(one["points"], int) for one in outputs)
    assert all(sum(one["scores"].values()) == pytest.approx(1) for one in outputs)


def test_points_grow_only_one_way_where_that_is_set(data: Dataset, tmp_path: Path) -> None:
    # Of ("default", "paid") the second label's chance grows with income.
    second = data.schema.labels.index("paid")
    way = 1 if second == 1 else -1
    engine = trained(data, tmp_path / "m", monotone={"income": way, "age": way}, bins=12)
    for column in engine.scorecard.columns:
        if column.name in ("income", "age"):
            points = [one.points for one in column.bins]
            assert points == sorted(points)
            assert len(points) > 2
    engine.close()
    with pytest.raises(InvalidSettings, match="home"):
        trained(data, tmp_path / "n", monotone={"home": 1})


def test_another_label_turns_the_points_round(data: Dataset, tmp_path: Path) -> None:
    engine = trained(data, tmp_path / "d", label="default")
    task = tasks.of(engine.card.schema)
    good, bad = engine.predict(
        [
            task.check({"income": 9000, "age": 70, "home": "own"}),
            task.check({"income": 900, "age": 19, "home": "rent"}),
        ]
    )
    assert (good["label"], bad["label"]) == ("paid", "default")
    assert good["points"] < bad["points"]
    engine.close()
    with pytest.raises(InvalidSettings, match="unpaid"):
        trained(data, tmp_path / "x", label="unpaid")


def test_three_labels_and_columns_of_nothing_are_refused(data: Dataset, tmp_path: Path) -> None:
    three = data_of(tmp_path, labels=("paid", "default", "open"))
    with pytest.raises(InvalidSettings) as caught:
        trained(three, tmp_path / "three")
    assert caught.value.code == "training.scorecard_two_labels"
    with pytest.raises(InvalidData) as nothing:
        trained(data, tmp_path / "none", information=50.0)
    assert nothing.value.code == "training.scorecard_nothing"


def test_bins_are_wide_monotone_and_know_the_missing() -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=2000)
    values[:200] = np.nan
    has = (draw.random(2000) < 1 / (1 + np.exp(-np.nan_to_num(values, nan=2.0)))).astype(float)
    found = numbers(values, has, most=8, least=100, monotone=1)
    assert (np.diff(found.weights) >= 0).all()
    assert (found.counts[:-1, 0] >= 100).all()
    assert found.counts[-1, 0] == 200
    assert found.missing > 0
    falling = numbers(values, has, most=8, least=100, monotone=-1)
    assert falling.ends == ()  # nothing falls here: one bin is left
    named = ["a", "b", "c", None] * 500
    groups = categories(named, np.array([1.0, 0, 1, 0] * 500), most=2, least=50)
    assert groups.groups == (("b",), ("a", "c"))
    rare = categories(["x"] * 5 + ["y"] * 95, has[:100], most=4, least=10)
    assert rare.groups == (("y",),)
    assert rare.bins[:5].tolist() == [1] * 5


def test_auto_makes_no_card_unless_asked(tmp_path: Path) -> None:
    settings: Any = {name: method(name).Settings() for name in methods()}
    stats = DataStats(1000, 100, 100, {"a": 500, "b": 500})
    task_settings = {"inputs": [["income", "number"]]}
    job = TrainJob(
        "auto",
        "tabular-classification",
        tmp_path,
        None,
        tmp_path,
        tmp_path,
        task_settings=task_settings,
    )
    given: Any = (job, TrainingConfig(), settings, stats, Machine(2, 8 << 30, 8 << 30, 1e10))
    assert [one.method for one in plan("auto", *given).stages] == ["linear", "trees"]
    assert [one.method for one in plan("scorecard", *given).stages] == ["linear", "scorecard"]
