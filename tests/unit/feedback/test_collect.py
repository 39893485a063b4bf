"""Feedback: whose it may be, what is refused, and files of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feilun.errors import FeilunError, Gone, InvalidData, NotFound
from feilun.feedback.collect import accept, add_file
from feilun.store import open_store
from feilun.store.ledger_records import Prediction
from feilun.store.store import Store


@pytest.fixture
def store(workspace_dir: Path) -> Iterator[Store]:
    with open_store(workspace_dir) as store:
        store.catalog.add_project("reviews", "text-classification")
        soon = datetime.now(UTC) + timedelta(days=1)
        rows = [
            answer("p1", 0, expires=soon),
            answer("p1", 1, expires=soon),
            answer("gone", 0, expires=datetime.now(UTC) - timedelta(seconds=1)),
            answer("unstored", 0, stored=False),
        ]
        store.ledger.commit([], rows)
        yield store


def answer(prediction_id: str, index: int, **options: object) -> Prediction:
    values = {
        "input": f"text {index}",
        "output": {"label": "good", "score": 0.9},
        "label": "good",
        "score": 0.9,
        "margin": 0.8,
        "model_version": "reviews@1",
        "project": "reviews",
        "customer": "ada",
    }
    return Prediction(prediction_id, index, **values | options)  # type: ignore[arg-type]


def give(store: Store, prediction_id: str, index: int, label: object, **who: str) -> str:
    who = who or {"customer": "ada"}
    said = accept(store.catalog, store.ledger, prediction_id, index, label, **who)  # type: ignore[arg-type]
    return said.label


def test_the_customer_who_got_the_answer_may_label_it(store: Store) -> None:
    assert give(store, "p1", 1, "bad") == "bad"
    assert [f.label for f in store.ledger.feedback_of("p1", 1)] == ["bad"]


def test_a_new_label_is_taken(store: Store) -> None:
    assert give(store, "p1", 0, "so-so") == "so-so"


def test_a_label_takes_the_form_that_the_data_room_gives_it(store: Store) -> None:
    assert give(store, "p1", 0, 3.0) == "3"
    assert give(store, "p1", 1, " bad ") == "bad"


def test_to_another_customer_the_answer_does_not_exist(store: Store) -> None:
    def refusal(prediction_id: str, customer: str) -> FeilunError:
        with pytest.raises(NotFound) as caught:
            give(store, prediction_id, 0, "bad", customer=customer)
        return caught.value

    foreign, missing = refusal("p1", "bob"), refusal("nowhere", "bob")
    assert foreign.code == missing.code
    assert foreign.message().replace("p1", "nowhere") == missing.message()
    for closed in ("gone", "unstored"):  # nor can it be told that there was one
        assert refusal(closed, "bob").code == missing.code


@pytest.mark.parametrize("index", [2, -1, 10**6])
def test_an_index_that_the_call_did_not_have(store: Store, index: int) -> None:
    with pytest.raises(NotFound):
        give(store, "p1", index, "bad")


@pytest.mark.parametrize(
    ("prediction_id", "code"),
    [("gone", "store.input_gone"), ("unstored", "store.input_not_stored")],
)
def test_an_input_that_is_not_kept_is_gone(store: Store, prediction_id: str, code: str) -> None:
    with pytest.raises(Gone) as caught:
        give(store, prediction_id, 0, "bad")
    assert caught.value.code == code
    assert caught.value.status == 410


@pytest.mark.parametrize("label", ["", "  ", None, float("nan"), "x" * 1000])
def test_what_is_no_label_is_refused(store: Store, label: object) -> None:
    with pytest.raises(InvalidData):
        give(store, "p1", 0, label)


def test_a_reviewer_may_label_any_answer(store: Store) -> None:
    assert give(store, "p1", 0, "bad", source="reviewer") == "bad"


FILES = {
    "corrections.csv": "prediction_id,index,label,note\np1,0,bad,x\np1,,good,\np1,9,bad,\n"
    "gone,0,bad,\np1,zero,bad,\np1,1,,\n",
    "corrections.tsv": "prediction_id\tindex\tlabel\np1\t0\tbad\np1\t\tgood\np1\t9\tbad\n"
    "gone\t0\tbad\np1\tzero\tbad\np1\t1\t\n",
    "corrections.jsonl": '\ufeff{"prediction_id": "p1", "index": 0, "label": "bad"}\n'
    '{"prediction_id": "p1", "label": "good"}\n'
    '{"prediction_id": "p1", "index": 9, "label": "bad"}\n'
    '{"prediction_id": "gone", "label": "bad"}\n'
    '{"prediction_id": "p1", "index": -1, "label": "bad"}\nnot json\n',
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_taken_row_by_row(store: Store, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(FILES[name], "utf-8")
    result = add_file(store.catalog, store.ledger, file)
    assert result.accepted == 2
    first = 1 if name.endswith("l") else 2
    assert [refused.row for refused in result.refused] == [first + n for n in (2, 3, 4, 5)]
    assert [refused.error.code for refused in result.refused][:3] == [
        "feedback.no_prediction",
        "store.input_gone",
        "feedback.bad_index",
    ]
    assert [f.label for f in store.ledger.feedback_of("p1", 0)] == ["bad", "good"]
    assert {f.source for f in store.ledger.feedback_of("p1", 0)} == {"operator"}


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.xlsx", b"", "feedback.unknown_format"),
        ("a.csv", b"id,answer\n1,2\n", "feedback.file_lacks"),
        ("a.csv", b"", "feedback.file_lacks"),
        ("a.csv", b"prediction_id,label\np1,\xff\xfe\n", "feedback.unreadable"),
        ("a.jsonl", b"\xff\xfe\x00", "feedback.unreadable"),
        ("missing.csv", None, "feedback.no_file"),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing(
    store: Store, tmp_path: Path, name: str, content: bytes | None, code: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidData) as caught:
        add_file(store.catalog, store.ledger, file)
    assert caught.value.code == code
    assert store.ledger.counts()["feedback"] == 0


def test_answers_of_other_projects_are_refused_by_name(store: Store, tmp_path: Path) -> None:
    store.catalog.add_project("letters", "text-classification")
    soon = datetime.now(UTC) + timedelta(days=1)
    store.ledger.commit([], [answer("l1", 0, project="letters", expires=soon)])
    file = tmp_path / "said.csv"
    file.write_text("prediction_id,index,label\np1,0,bad\nl1,0,urgent\n", "utf-8")
    result = add_file(store.catalog, store.ledger, file, project="reviews")
    assert result.accepted == 1
    (refused,) = result.refused
    assert (refused.row, refused.error.code) == (3, "feedback.other_project")
    assert "letters" in refused.error.message()
    assert "--project letters" in refused.error.hint()
    assert not store.ledger.feedback_of("l1", 0)
    assert add_file(store.catalog, store.ledger, file, project="letters").accepted == 1
