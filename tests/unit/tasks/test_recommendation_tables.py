"""Tables of users and of items beside who took what: read, learnt from, and what they do for
newcomers."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from feilun.config import DataConfig
from feilun.data.sources.base import Held, Source
from feilun.data.versions import build
from feilun.engines.base import open_engine
from feilun.engines.recommender import RecommenderEngine
from feilun.errors import InvalidData
from feilun.families.ranking import RANKING, items_of
from feilun.modalities.table.described import Described
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks._questions import questions
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import ColumnSample

TASK = tasks.get("recommendation")
KINDS = ("tea", "coffee", "toys")
ITEMS = [f"{kind} {n}" for kind in KINDS for n in range(12)]


def orders() -> list[dict[str, Any]]:
    """Users keep to one kind: the young to toys, those of Lyon to coffee, the others to tea."""
    draw = random.Random(0)
    rows = []
    for user, (_, age, city) in enumerate(people()):
        kind = "toys" if age < 25 else "coffee" if city == "Lyon" else "tea"
        for _ in range(7):
            mine = kind if draw.random() < 0.9 else draw.choice(KINDS)
            rows.append(
                {
                    "user_id": f"u{user}",
                    "item": f"{mine} {draw.randrange(12)}",
                    "date": "2026-01-01",
                }
            )
    return rows


def people() -> list[tuple[str, int, str]]:
    draw = random.Random(1)
    return [(f"u{n}", draw.randrange(15, 60), draw.choice(("Lyon", "Bern"))) for n in range(150)]


def users() -> list[dict[str, Any]]:
    known = [{"user_id": name, "age": age, "city": city} for name, age, city in people()]
    return [*known, {"user_id": "new", "age": 17, "city": "Bern"}]


def items() -> list[dict[str, Any]]:
    draw = random.Random(2)
    known = [
        {"item": one, "kind": f"goods|{one.split()[0]}", "weight": draw.randrange(900)}
        for one in ITEMS
    ]
    return [*known, *({"item": f"{k} new", "kind": f"goods|{k}", "weight": 5} for k in KINDS)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("tables") / "data"
    sources = [Source(Held(rows(), rows.__name__)) for rows in (orders, users, items)]
    report = build(sources, task=TASK, settings=DataConfig(), out=out)
    assert report.bad == 0
    assert [one.details.get("describes") for one in report.sources] == [None, "user", "item"]
    return Dataset(out)


@pytest.fixture(scope="module")
def engine(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RecommenderEngine:
    out = tmp_path_factory.mktemp("neighbours")
    settings = TASK.Settings().model_dump()
    job = TrainJob("neighbours", TASK.name, data.folder, None, out, out, task_settings=settings)
    method("neighbours").train(job, method("neighbours").Settings(), lambda _: None)
    found = open_engine(out)
    assert isinstance(found, RecommenderEngine)
    return found


def test_descriptions_train_and_never_judge(data: Dataset) -> None:
    assert data.info["split_by"] == "time"  # the tables beside have no times and need none
    counted: dict[str, int] = {}
    for example in data.examples():
        assert example.label is not None
        if not RANKING.asks(example.label):
            assert example.split == "train"
            assert items_of(example.label) == ()
            kind = "item" if str(example.item).startswith('{"item"') else "user"
            counted[kind] = counted.get(kind, 0) + 1
    assert counted == {"user": 151, "item": 39}
    asked = questions(data)
    assert all(RANKING.asks(one) for one in asked.values("label", "test"))
    assert any('"columns"' in str(one) for one in asked.items("test"))


def test_a_new_user_gets_what_users_like_him_take(engine: RecommenderEngine) -> None:
    def basis_and_kinds(item: Any) -> tuple[str, list[str]]:
        (output,) = engine.predict([TASK.check(item)])
        return output["basis"], [one["item"].split()[0] for one in output["items"][:5]]

    basis, kinds = basis_and_kinds("new")
    assert (basis, kinds[0]) == ("columns", "toys")
    assert kinds.count("toys") >= 3
    at_call = {"user": "x", "columns": {"age": 50, "city": "Lyon"}}
    assert basis_and_kinds(at_call) == ("columns", ["coffee"] * 5)
    assert basis_and_kinds({"columns": {"city": "Bern", "age": 40}})[1] == ["tea"] * 5
    assert basis_and_kinds("nobody")[0] == "popularity"
    assert basis_and_kinds({"user": "x", "columns": {"colour": "red"}})[0] == "popularity"
    (output,) = engine.predict([TASK.check(at_call)])
    assert any("city: Lyon" in one["because"] for one in output["items"])
    history = {"history": ["tea 1"], "columns": {"age": 17}}
    assert basis_and_kinds(history)[0] == "history"


def test_a_new_item_is_recommended_as_those_it_resembles(engine: RecommenderEngine) -> None:
    for kind in KINDS:
        candidates = [f"{one} new" for one in KINDS]
        item = {"history": [f"{kind} 1", f"{kind} 2"], "candidates": candidates}
        (output,) = engine.predict([TASK.check(item)])
        first = output["items"][0]
        assert first["item"] == f"{kind} new"
        assert first["score"] > 0
        assert set(first["because"]) <= {f"{kind} 1", f"{kind} 2"}
    (output,) = engine.predict([TASK.check({"item": "tea 3"})])
    assert output["items"][0]["item"].startswith("tea")
    assert "tea 3" not in [one["item"] for one in output["items"]]


def test_tables_are_told_from_orders_by_what_they_name() -> None:
    def about(given: dict[str, str] | None = None, **columns: list[Any]) -> Any:
        samples = [ColumnSample(name, values) for name, values in columns.items()]
        return TASK.describes(samples, given or {})

    assert about(user_id=[1, 2], age=[3, 4]) == ("user", "user_id")
    assert about(商品编号=["a", "b"], 价格=[3, 4]) == ("item", "商品编号")
    assert about(user_id=[1, 2], item=["a", "b"]) is None
    assert about(user_id=[1, 1], age=[3, 4]) is None
    assert about(user_id=[1, 2]) is None
    assert about({"label": "name"}, name=["a", "b"], price=[1, 2]) == ("item", "name")


def test_rows_that_say_nothing_and_tables_alone_are_told(tmp_path: Path) -> None:
    sources = [Source(Held(orders())), Source(Held([*items(), {"item": "bare", "kind": ""}]))]
    report = build(sources, task=TASK, settings=DataConfig(), out=tmp_path / "a")
    assert [one.code for one, _ in report.reasons] == ["data.describes_nothing"]
    with pytest.raises(InvalidData) as caught:
        build([Source(Held(items()))], task=TASK, settings=DataConfig(), out=tmp_path / "b")
    assert caught.value.code == "data.describes_only"
    with pytest.raises(InvalidData) as wrong:
        TASK.check({"user": "x", "columns": [1]})
    assert wrong.value.code == "tasks.not_columns"


def test_parts_of_lists_and_tenths_of_numbers_are_compared() -> None:
    rows = [{"genre": "Comedy|Drama", "year": 1990 + n, "x": "same"} for n in range(20)]
    rows += [{"genre": "Drama", "year": 2010 + n % 5, "x": "same"} for n in range(20)]
    told = Described.fit(rows)
    assert told.names == ["genre", "year"]
    genre, year = told.blocks([rows[0], rows[-1], {"genre": None, "year": "none"}])
    assert (genre @ genre.T).toarray()[0, 1] == pytest.approx(0.5**0.5)
    assert genre[2].nnz == year[2].nnz == 0
    assert told.words(0, 0) == "genre: Comedy"
