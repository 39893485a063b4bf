"""Recommendations that trees put in order by what is known of the items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.config import DataConfig
from feilun.data.sources.base import Held, Source
from feilun.data.versions import build
from feilun.engines.base import Engine, open_engine
from feilun.errors import CorruptArtifact, InvalidData
from feilun.families.ranking import RANKING
from feilun.metrics.comparison import gains
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks._questions import questions
from feilun.training.job import TrainJob
from feilun.training.settings import method

TASK = tasks.get("recommendation")
GOODS = [f"goods {n}" for n in range(240)]


def _weight(item: str) -> int:
    return 37 * int(item.split()[1]) % 1000


def _orders() -> list[dict[str, Any]]:
    """Each user takes ten goods of about one weight, of which there are too many for any two users
    to have much in common."""
    draw = np.random.default_rng(0)
    weights = np.array([_weight(item) for item in GOODS])
    rows = []
    for user in range(240):
        away = np.abs(weights - draw.integers(0, 1000))
        near = np.argsort(away, kind="stable")[:40]
        for place in draw.choice(near, 10, replace=False).tolist():
            rows.append({"user": f"u{user}", "item": GOODS[place], "date": "2026-01-01"})
    return rows


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("goods") / "data"
    items = [{"item": item, "weight": _weight(item)} for item in GOODS]
    sources = [Source(Held(_orders(), "orders")), Source(Held(items, "items"))]
    build(sources, task=TASK, settings=DataConfig(split_by="group", test=0.4), out=out)
    return Dataset(out)


def _trained(data: Dataset, folder: Path, name: str, **settings: Any) -> Engine:
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    job = TrainJob(name, TASK.name, data.folder, None, out, scratch, threads=1)
    chosen = method(name)
    chosen.train(job, chosen.Settings(**settings), lambda progress: None)
    return open_engine(out)


@pytest.fixture(scope="module")
def folder(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ranked")
    _trained(data, made, "lambdamart", groups=2, regularisation=50.0)
    return made / "out"


def test_the_order_learns_what_the_columns_of_items_say(
    data: Dataset, folder: Path, tmp_path: Path
) -> None:
    asked = questions(data)
    items = asked.items("test")
    truth = RANKING.truth(asked.values("label", "test"), ())
    first, second = _trained(data, tmp_path, "ease", regularisation=50.0), open_engine(folder)
    before, after = (RANKING.measured(truth, one.raw(items), (), {}) for one in (first, second))
    assert gains(after, before)["ndcg"].low > 0


def test_answers_keep_their_reasons_and_scores_from_0_to_1(folder: Path) -> None:
    engine = open_engine(folder)
    history = GOODS[:6]
    (answer,) = engine.predict([TASK.check({"history": history, "k": 5})])
    assert answer["basis"] == "history"
    assert all(set(one["because"]) <= set(history) for one in answer["items"])
    assert any(one["because"] for one in answer["items"])
    scores = [one["score"] for one in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] <= scores[0] <= 1
    (again,) = open_engine(folder).predict([TASK.check({"history": history, "k": 5})])
    assert again == answer


def test_nobody_is_put_in_order_without_a_history(folder: Path) -> None:
    (answer,) = open_engine(folder).predict([TASK.check({"user": "nobody"})])
    assert answer["basis"] == "popularity"
    assert len(answer["items"]) == 10


def test_too_few_users_are_refused(tmp_path: Path) -> None:
    rows = [{"user": user, "item": f"i{item}"} for user in "abcdef" for item in range(6)]
    build([Source(Held(rows))], task=TASK, settings=DataConfig(split_by="group"),
          out=tmp_path / "d")  # fmt: skip
    with pytest.raises(InvalidData) as refused:
        _trained(Dataset(tmp_path / "d"), tmp_path, "lambdamart")
    assert refused.value.code == "training.few_histories"


@pytest.mark.parametrize("file", ["ranker.txt", "ranker.json", "ranker.safetensors"])
def test_a_version_that_is_not_whole_is_refused(folder: Path, file: str, tmp_path: Path) -> None:
    for one in folder.iterdir():
        (tmp_path / one.name).write_bytes(one.read_bytes() if one.name != file else b"x")
    with pytest.raises(CorruptArtifact):
        open_engine(tmp_path)
