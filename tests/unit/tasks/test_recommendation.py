"""Recommendation: who asks, what judges, and what is learnt from who took what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.config import DataConfig
from feilun.data.audit.returning import returning
from feilun.data.outcome import Notice
from feilun.data.sources.base import Held, Source
from feilun.data.versions import build
from feilun.engines.base import Engine, open_engine
from feilun.engines.recommender import ITEMS
from feilun.errors import CorruptArtifact, FeilunError, InvalidData
from feilun.evaluation.slices import divide
from feilun.families.ranking import RANKING, Ranked, items_of
from feilun.feedback.to_data import examples_of
from feilun.modalities import askers
from feilun.store.dataset import Dataset
from feilun.store.ledger_records import Feedback, LabelledPrediction, Prediction
from feilun.tasks import base as tasks
from feilun.tasks._questions import asked, questions
from feilun.training import interactions
from feilun.training.job import TrainJob
from feilun.training.methods.neighbours import limited
from feilun.training.settings import method
from feilun.types import Example

TASK = tasks.get("recommendation")
DRINKS = {
    "tea": ["tea", "pot", "cup", "kettle", "honey", "lemon"],
    "咖啡": ["咖啡", "磨豆机", "滤纸", "杯子", "牛奶", "糖"],
}


def _rows(users: int = 40) -> list[dict[str, Any]]:
    """Users of two tastes who take four of six items each, one after the other; and bread."""
    draw = np.random.default_rng(0)
    rows = []
    for user in range(users):
        kind = list(DRINKS)[user % 2]
        taken = [*draw.choice(DRINKS[kind], 4, replace=False).tolist(), "bread"]
        rows += [
            {"user_id": user, "商品": item, "time": 1_600_000_000 + 86_400 * (5 * user + place)}
            for place, item in enumerate(draw.permutation(taken).tolist())
        ]
    return rows


def _build(folder: Path, rows: Sequence[dict[str, Any]], **settings: Any) -> Dataset:
    source = Source(Held(list(rows)))
    build([source], task=TASK, settings=DataConfig(**settings), out=folder)
    return Dataset(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A data version divided by lot."""
    return _build(tmp_path_factory.mktemp("data") / "d", _rows(), split_by="group")


def _trained(data: Dataset, folder: Path, name: str, task: Any = None, **settings: Any) -> Engine:
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    job = TrainJob(name, TASK.name, data.folder, None, out, scratch, task_settings=task or {})
    chosen = method(name)
    chosen.train(job, chosen.Settings(**settings), lambda progress: None)
    return open_engine(out)


@pytest.fixture(scope="module")
def engine(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Item neighbours of it."""
    return _trained(data, tmp_path_factory.mktemp("near"), "neighbours", shrinkage=1.0)


def _ask(engine: Engine, **asker: Any) -> dict[str, Any]:
    (answer,) = engine.predict([TASK.check(asker)])
    return answer


def _named(answer: dict[str, Any]) -> list[str]:
    return [one["item"] for one in answer["items"]]


# Who asks


def test_equal_askers_are_equal_texts() -> None:
    assert TASK.check(" 42 ") == TASK.check(42) == TASK.check(42.0) == TASK.check("42.0") == "42"
    assert TASK.check({"user": 42}) == "42"
    both = TASK.check({"history": ["tea", 7, "tea"], "user": "小王"})
    assert both == '{"history":["tea","7"],"user":"小王"}'
    assert TASK.check(both) == TASK.check({"user": both}) == both
    assert TASK.check({"history": '["tea"]'}) == '{"history":["tea"]}'
    strange = TASK.check({"user": "{x"})
    assert askers.read(strange).user == "{x"
    assert TASK.check(strange) == strange


def test_what_is_wanted_of_the_answer_alone_is_no_part_of_a_row() -> None:
    item = TASK.check({"user": "1", "k": 3, "exclude": ["tea"], "candidates": ["cup"]})
    assert askers.read(item) == askers.Asker("1", (), ("tea",), ("cup",), 3)
    assert TASK.without_options(item) == "1"
    assert TASK.without_options(TASK.check({"history": [], "k": 1})) == '{"history":[]}'


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"k": 3}, "tasks.nobody_asks"),
        ({"user": "1", "age": 3}, "tasks.wrong_columns"),
        ({"user": ["1"]}, "tasks.not_a_name"),
        ({"history": "tea"}, "tasks.not_a_list"),
        ({"history": [None]}, "tasks.not_a_name"),
        ({"history": ["x"] * 10_001}, "tasks.list_too_long"),
        ({"user": "1", "k": 0}, "tasks.bad_k"),
        ({"user": "1", "k": 101}, "tasks.bad_k"),
        ({"user": "1", "k": 2.5}, "tasks.bad_k"),
        ({"user": "1", "k": True}, "tasks.bad_k"),
        ("x" * 1001, "tasks.name_too_long"),
    ],
)
def test_what_names_nobody_is_refused(item: Any, code: str) -> None:
    with pytest.raises(InvalidData) as caught:
        TASK.check(item)
    assert caught.value.code == code
    assert caught.value.message("en") != caught.value.message("zh")
    assert ": str is" not in caught.value.message("en")


# What is right


def test_one_item_or_several_are_right() -> None:
    assert RANKING.target(31) == RANKING.target("31") == RANKING.target([31]) == "31"
    assert RANKING.target(["b", "a", "b"]) == '["b","a"]'
    assert RANKING.target('["b", "a"]') == '["b","a"]'
    assert RANKING.target([]) == "[]"
    assert RANKING.target({"item": "cup", "score": 2}) == "cup"
    listed = RANKING.target(['["x"]'])  # an item that looks like a list
    assert listed is not None
    assert RANKING.target(listed) == listed
    assert items_of(listed) == ('["x"]',)
    assert RANKING.known(RANKING.truth([None, "[]", "cup"], ())).tolist() == [False, False, True]
    for wrong in (True, ["cup", None], {"name": "cup"}, "x" * 1_000_001):
        with pytest.raises(InvalidData):
            RANKING.target(wrong)


def test_answers_whose_order_differs_differ() -> None:
    decode = RANKING.decoder(None, {})  # type: ignore[arg-type]  # nothing of it is asked
    raw = np.empty(3, object)
    raw[:] = [Ranked(["a", "b"], [2.0, 1.0]), Ranked(["b", "a"], [2, 1]), Ranked(["a"], [2])]
    one, other, short = decode(raw, False)
    assert not RANKING.differ(one, other).same
    assert RANKING.differ(one, short).size == 1
    assert [each.row for each in RANKING.disagreements(raw[:2], raw[1::-1], ())] == [0, 1]


# Rows


def test_items_of_one_user_are_rows_of_their_own_and_stand_in_any_split(data: Dataset) -> None:
    assert len(data) == 200
    splits: dict[str, set[str]] = {}
    for example in data.examples():
        splits.setdefault(str(example.item), set()).add(example.split)
    assert any(len(found) > 1 for found in splits.values())
    assert set(data.counts["train"]) == {"ranking"}


def test_the_same_user_and_item_again_are_one_row(tmp_path: Path) -> None:
    rows = _rows(10)
    report = build(
        [Source(Held([*rows, *rows[:7]]))], task=TASK, settings=DataConfig(), out=tmp_path / "d"
    )
    assert (report.rows, report.duplicates, report.conflicts) == (50, 7, 0)


def test_where_every_file_has_times_the_newest_judge(tmp_path: Path) -> None:
    data = _build(tmp_path / "d", _rows())
    assert data.info["split_by"] == "time"
    users = {split: {int(str(one)) for one in data.items(split)} for split in ("train", "test")}
    assert min(users["test"]) >= 36
    assert max(users["train"]) <= 32
    rows = [{name: row[name] for name in ("user_id", "商品")} for row in _rows()]
    assert _build(tmp_path / "e", rows).info["split_by"] == "group"


def test_files_without_users_or_items_are_refused(tmp_path: Path) -> None:
    rows = [{"a": n, "b": n % 7} for n in range(30)]
    with pytest.raises(InvalidData, match="user"):
        _build(tmp_path / "a", rows)
    with pytest.raises(FeilunError) as caught:
        _build(tmp_path / "b", [{"user": n, "b": n % 7} for n in range(30)])
    assert caught.value.code == "data.describes_only"
    with pytest.raises(FeilunError) as caught:
        _build(tmp_path / "b2", [{"user": n % 9, "b": n % 7} for n in range(30)])
    assert caught.value.code == "data.no_label"
    with pytest.raises(FeilunError) as caught:
        _build(tmp_path / "c", [{"user": n, "item": "tea"} for n in range(30)])
    assert caught.value.code == "data.one_class"


def test_rows_with_low_ratings_say_that_an_item_was_not_liked(tmp_path: Path) -> None:
    rows = [{"user": n, "item": n % 7, "评分": n % 5 + 1} for n in range(50)]
    rows += [{"user": 60, "item": 1, "评分": None}, {"user": 61, "item": 1, "评分": "good"}]

    def made(name: str, settings: dict[str, Any], rows: list[dict[str, Any]]) -> Any:
        source = Source(Held(rows))
        config = DataConfig()
        return build([source], task=TASK, settings=config, out=tmp_path / name,
                     task_settings={**TASK.Settings(**settings).model_dump()})  # fmt: skip

    every = made("every", {}, rows)
    assert (every.rows, every.bad) == (52, 0)
    liked = made("liked", {"least_rating": 4}, rows)
    assert (liked.rows, liked.bad) == (21, 1), "no rating counts, a word is a bad row"
    assert any(one.code == "data.says_nothing" and one.params["rows"] == 30
               for one in liked.warnings)  # fmt: skip
    with pytest.raises(InvalidData) as caught:
        made("none", {"least_rating": 4}, [{"user": n, "item": n % 7} for n in range(50)])
    assert caught.value.code == "tasks.no_rating_column"


def test_rows_of_one_user_are_one_question_half_of_which_is_told(data: Dataset) -> None:
    whole = questions(data)
    items, targets = whole.items("test"), whole.values("label", "test")
    assert len(items) == len(whole.row_ids("test")) == whole.size("test")
    rows: dict[str, list[str]] = {}
    for example in sorted(data.examples("test"), key=lambda one: one.row_id):
        rows.setdefault(str(example.item), []).append(example.label or "")
    earlier: dict[str, set[str]] = {}
    for split in ("train", "validation"):
        for example in data.examples(split):
            earlier.setdefault(str(example.item), set()).add(example.label or "")
    users = {example.row_id: str(example.item) for example in data.examples("test")}
    assert len(rows) == len(items)
    for row_id, item, target in zip(whole.row_ids("test"), items, targets, strict=True):
        user = users[row_id]
        taken = rows[user]
        told = len(taken) // 2
        assert list(items_of(target)) == taken[told:]
        asker = askers.read(item)
        assert asker.user is None, "else what he took in test rows would be known"
        assert set(asker.history) == earlier.get(user, set()) | set(taken[:told])
    assert len(questions(data).items("train")) == len({str(one) for one in data.items("train")})


def test_parts_of_the_rows_are_told_apart_by_their_history(data: Dataset) -> None:
    items = [TASK.described(one) for one in questions(data).items("train")]
    parts = divide(items, {})
    assert {part.column for part in parts} == {"history"}
    assert TASK.described('{"history":["tea","cup"]}') == {"history": 2}


def test_rows_at_hand_keep_their_user() -> None:
    rows = [Example(str(n), "7", item) for n, item in enumerate("abc")]
    (one,) = asked(TASK, rows)
    assert askers.read(one.item) == askers.Asker("7", ("a",))
    assert one.label == '["b","c"]'
    text = tasks.get("text-classification")
    assert asked(text, rows) == rows


def test_every_item_that_was_taken_is_a_row_of_feedback() -> None:
    said = [
        LabelledPrediction(
            prediction=Prediction("p", 0, "7", {}, None, None, None, "shop@1", "shop"),
            feedback=Feedback(f"f{n}", "p", 0, item, "customer", None, datetime.now(UTC), None),
        )
        for n, item in enumerate(["tea", "cup", "tea"])
    ]
    learned = examples_of(said, unit="target")
    assert [one.example.label for one in learned] == ["tea", "cup"]
    assert len({one.example.row_id for one in learned}) == 2
    assert len(examples_of(said)) == 1


def test_the_audit_names_users_who_say_too_little_or_too_much(tmp_path: Path) -> None:
    basis = Notice("audit.basis_all", {"rows": 1})
    rows = [{"user": f"once {n}", "item": n % 5} for n in range(30)]
    rows += [{"user": f"person {n % 10}", "item": n // 10} for n in range(30)]
    rows += [{"user": "till 7", "item": n} for n in range(501)]
    found = {
        one.finding.code: one.finding for one in returning(_build(tmp_path / "d", rows), basis)
    }
    assert set(found) == {"single_askers", "heavy_askers", "rare_items"}
    assert (found["single_askers"].count, found["single_askers"].of) == (30, 41)
    assert found["single_askers"].severity == "warn"
    assert found["heavy_askers"].params["askers"] == ["till 7 (501)"]
    assert found["heavy_askers"].params["part"] == pytest.approx(501 / 561)
    assert found["rare_items"].count == 496
    for finding in found.values():
        assert finding.text("en") != finding.text("zh")
        assert finding.advice("en") != finding.advice("zh")
    few = returning(_build(tmp_path / "e", _rows(6)), basis)
    assert [one.finding.code for one in few] == ["few_askers", "rare_items"]


# What is learnt


def test_a_user_gets_what_goes_with_what_he_took_and_why(engine: Engine) -> None:
    answer = _ask(engine, history=["pot", "cup"])
    assert answer["basis"] == "history"
    assert set(_named(answer)[:5]) == {"bread", "tea", "kettle", "honey", "lemon"}
    assert not {"pot", "cup"} & set(_named(answer))
    assert all(set(one["because"]) <= {"pot", "cup"} for one in answer["items"][:5])
    scores = [one["score"] for one in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    known = _ask(engine, user="0")
    taken = {row["商品"] for row in _rows() if row["user_id"] == 0}
    assert not taken & set(_named(known))
    assert known["basis"] == "history"


def test_nobody_gets_what_is_popular_and_is_told(engine: Engine) -> None:
    for asker in ({"user": "nobody"}, {"history": []}, {"history": ["unknown"]}):
        answer = _ask(engine, **asker)
        assert answer["basis"] == "popularity"
        assert _named(answer)[0] == "bread"
        assert "because" not in answer["items"][0]


def test_a_call_says_how_many_of_which_and_which_not(engine: Engine) -> None:
    assert len(_named(_ask(engine, history=["pot"], k=2))) == 2
    assert "bread" not in _named(_ask(engine, history=["pot"], exclude=["bread"]))
    chosen = _ask(engine, history=["pot"], candidates=["咖啡", "new", "tea", "pot"])
    assert _named(chosen) == ["tea", "咖啡", "new"], "what nobody took yet comes last"
    assert _named(_ask(engine, history=["pot"], candidates=["new"], exclude=["new"])) == []


def test_long_catalogues_are_answered_alike(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = [TASK.check(one) for one in ({"history": ["pot", "糖"]}, {"user": 3}, {"user": "x"})]
    asked_for = [*several, TASK.check({"history": ["tea"], "candidates": ["cup", "bread"], "k": 1})]
    dense = engine.predict(asked_for)
    monkeypatch.setattr("feilun.engines.recommender._DENSE", 0)
    assert engine.predict(asked_for) == dense


def test_one_user_alone_teaches_what_is_popular(tmp_path: Path) -> None:
    data = _build(tmp_path / "d", [{"user": "only", "item": f"item {n}"} for n in range(20)])
    engine = _trained(data, tmp_path, "popularity")
    assert _ask(engine, user="other")["basis"] == "popularity"
    assert _named(_ask(engine, user="only")) == [], "he has taken all there is"


def test_items_may_be_recommended_again_where_that_is_set(data: Dataset, tmp_path: Path) -> None:
    engine = _trained(data, tmp_path, "neighbours", {"repeat": True})
    assert {"pot", "cup"} & set(_named(_ask(engine, history=["pot", "cup"])))


def test_neighbours_are_the_shrunk_cosines(data: Dataset, engine: Engine) -> None:
    found = interactions.read(data)
    matrix = found.matrix.toarray()
    common = matrix.T @ matrix
    root = np.sqrt(np.diag(common))
    near = common / (np.outer(root, root) + 1.0)
    place = {item: at for at, item in enumerate(found.items)}
    for one in _ask(engine, history=["pot", "tea"])["items"][:4]:
        wanted = sum(near[place[item], place[one["item"]]] for item in ("pot", "tea"))
        assert one["score"] == pytest.approx(wanted, rel=1e-5)


def test_ease_is_the_regularised_regression_of_each_item_on_the_others(
    data: Dataset, tmp_path: Path
) -> None:
    engine = _trained(data, tmp_path, "ease", regularisation=5.0)
    found = interactions.read(data)
    matrix = found.matrix.toarray().astype(np.float64)
    place = {item: at for at, item in enumerate(found.items)}
    for one in _ask(engine, history=["pot", "tea"])["items"][:3]:
        at = place[one["item"]]
        others = np.delete(np.arange(matrix.shape[1]), at)
        x = matrix[:, others]
        solved = np.linalg.solve(x.T @ x + 5.0 * np.eye(len(others)), x.T @ matrix[:, at])
        weights = dict(zip(others.tolist(), solved, strict=True))
        assert one["score"] == pytest.approx(weights[place["pot"]] + weights[place["tea"]], 1e-4)


def test_ease_learns_the_most_taken_items_alone(data: Dataset, tmp_path: Path) -> None:
    engine = _trained(data, tmp_path, "ease", max_items=2, kept=1)
    assert _ask(engine, history=["bread"])["basis"] == "history"
    rare = min(interactions.read(data).items, key=lambda one: sum(
        row["商品"] == one for row in _rows()))  # fmt: skip
    assert _ask(engine, history=[rare])["basis"] == "popularity"


def test_who_took_more_than_a_person_counts_in_part() -> None:
    from scipy.sparse import csr_matrix

    matrix = csr_matrix(np.concatenate([np.ones((1, 50)), np.eye(50)[:3]]))
    found = limited(matrix, 10, seed=1)
    assert np.diff(found.indptr).tolist() == [10, 1, 1, 1]
    assert (found.toarray()[1:] == matrix.toarray()[1:]).all()
    assert (limited(matrix, 10, seed=1) != found).nnz == 0
    assert limited(matrix, 50, seed=1) is matrix


def test_nothing_is_learnt_from_rows_that_judge(data: Dataset) -> None:
    found = interactions.read(data)
    assert found.matrix.nnz == len({(e.item, e.label) for e in data.examples("train")})
    assert found.taken.nnz > found.matrix.nnz


def test_weights_of_other_items_are_refused(data: Dataset, tmp_path: Path) -> None:
    _trained(data, tmp_path, "popularity")
    names = json.loads((tmp_path / "out" / ITEMS).read_text("utf-8"))
    (tmp_path / "out" / ITEMS).write_text(json.dumps(names[:-1]), "utf-8")
    with pytest.raises(CorruptArtifact):
        open_engine(tmp_path / "out")
