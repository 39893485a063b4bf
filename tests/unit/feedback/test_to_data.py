"""Feedback becomes rows: one for each input, the last word of the house before a customer's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.feedback.to_data import to_examples
from feilun.feedback.triage import triage
from feilun.store import open_store
from feilun.store.drawn import DRAWN, SOURCE
from feilun.store.ledger_records import FeedbackSource, Prediction
from feilun.store.store import Store
from feilun.types import Item


@pytest.fixture
def store(workspace_dir: Path) -> Iterator[Store]:
    with open_store(workspace_dir) as store:
        store.catalog.add_project("reviews", "text-classification")
        yield store


def say(store: Store, call: str, item: Item, *labels: tuple[str, FeedbackSource]) -> None:
    row = Prediction(call, 0, item, {"label": "good"}, "good", 0.9, 0.8, "r@1", "reviews", "ada")
    store.ledger.commit([], [row])
    for label, source in labels:
        store.ledger.add_feedback(call, 0, label, source=source, customer="ada")


def labels(store: Store) -> dict[Item, str | None]:
    return {one.example.item: one.example.label for one in to_examples(store.ledger, "reviews")}  # type: ignore[misc]


def test_the_last_word_counts(store: Store) -> None:
    say(store, "1", "text", ("bad", "customer"), ("so-so", "customer"))
    assert labels(store) == {"text": "so-so"}


def test_the_house_goes_before_the_customer(store: Store) -> None:
    say(store, "1", "text", ("bad", "reviewer"), ("good", "customer"))
    assert labels(store) == {"text": "bad"}


def test_an_input_that_was_answered_twice_is_one_row(store: Store) -> None:
    say(store, "1", "same", ("bad", "reviewer"))
    say(store, "2", "same", ("good", "customer"))
    say(store, "3", "other", ("good", "customer"))
    assert labels(store) == {"same": "bad", "other": "good"}
    first = to_examples(store.ledger, "reviews")[0]
    assert len(first.feedback_ids) == 2


def test_where_rows_are_observations_each_answer_is_one(store: Store) -> None:
    alike: Item = {"months": 3.0, "plan": "monthly"}
    say(store, "1", alike, ("bad", "customer"), ("good", "customer"))
    say(store, "2", alike, ("bad", "customer"))
    say(store, "3", alike, ("good", "reviewer"))
    found = triage(store.ledger, "reviews", unit="answer")
    assert not found.held
    assert [one.example.label for one in found.learned] == ["good", "bad", "good"]
    assert len({one.example.row_id for one in found.learned}) == 3
    assert [one.reason for one in triage(store.ledger, "reviews").held] == []
    assert len(triage(store.ledger, "reviews").learned) == 1


def test_a_row_names_its_origin_and_keeps_its_id(store: Store) -> None:
    say(store, "1", b"\x89PNG", ("bad", "customer"))
    before = to_examples(store.ledger, "reviews")[0].example
    say(store, "2", b"\x89PNG", ("good", "customer"))
    after = to_examples(store.ledger, "reviews")[0].example
    assert before.row_id == after.row_id
    assert (after.item, after.label, after.source) == (b"\x89PNG", "good", SOURCE)
    assert after.subject == "ada"


def test_text_and_bytes_of_the_same_letters_are_two_inputs(store: Store) -> None:
    say(store, "1", "abc", ("bad", "customer"))
    say(store, "2", b"abc", ("good", "customer"))
    assert labels(store) == {"abc": "bad", b"abc": "good"}


def test_what_was_learned_is_left_out(store: Store) -> None:
    say(store, "1", "old", ("bad", "customer"))
    learned = to_examples(store.ledger, "reviews")
    store.ledger.mark_used(learned[0].feedback_ids, "reviews:2")
    say(store, "2", "new", ("bad", "customer"))
    assert labels(store) == {"new": "bad"}
    everything = to_examples(store.ledger, "reviews", unused_only=False)
    assert [one.example.item for one in everything] == ["old", "new"]


def test_an_answer_drawn_at_random_stays_drawn_whoever_speaks_of_it_too(store: Store) -> None:
    say(store, "1", "corrected", ("bad", "customer"))
    say(store, "2", "both", ("bad", "customer"))
    say(store, "3", "looked at", ("bad", "reviewer"))
    store.ledger.add_feedback("2", 0, "good", source="reviewer", asked="audit")
    store.ledger.add_feedback("2", 0, "bad", source="operator")
    store.ledger.add_feedback("3", 0, "good", source="reviewer", asked="review")
    learned = {one.example.item: one for one in to_examples(store.ledger, "reviews")}
    assert {item: one.drawn for item, one in learned.items()} == {
        "corrected": False, "both": True, "looked at": False,
    }  # fmt: skip
    both = learned["both"]
    assert (both.example.source, both.example.label, both.source) == (DRAWN, "bad", "operator")
