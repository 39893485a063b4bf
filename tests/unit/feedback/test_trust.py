"""Whose corrections are trusted: suspected keys, conflicts, rows of others, shares."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.feedback.triage import Triaged, share_limit, triage
from feilun.feedback.trust import suspects
from feilun.store import open_store
from feilun.store.ledger_records import AnnotatorStatistics, FeedbackSource, Prediction
from feilun.store.store import Store
from feilun.types import Item


@pytest.fixture
def store(workspace_dir: Path) -> Iterator[Store]:
    with open_store(workspace_dir) as store:
        store.catalog.add_project("reviews", "text-classification")
        yield store


def say(
    store: Store,
    call: str,
    text: Item,
    label: str | None,
    *,
    customer: str = "ada",
    source: FeedbackSource = "customer",
    score: float = 0.6,
) -> None:
    row = Prediction(
        call,
        0,
        text,
        {"label": "good"},
        "good",
        score,
        0.2,
        "r@1",
        "reviews",
        customer,
        f"k-{customer}",
    )
    store.ledger.commit([], [row])
    if label is not None:
        store.ledger.add_feedback(call, 0, label, source=source, customer=customer)


def learned(found: Triaged) -> dict[object, str | None]:
    return {one.example.item: one.example.label for one in found.learned}


def honest(
    draw: random.Random, answers: int, wrong: float, diligence: float
) -> AnnotatorStatistics:
    """A customer who corrects wrong answers and confirms a few right ones."""
    sure = sum(draw.random() < 0.6 for _ in range(answers))
    bad = sum(draw.random() < wrong * diligence for _ in range(sure))
    return AnnotatorStatistics(
        f"c{draw.random()}",
        "key",
        answers,
        sure,
        0.07 * sure,
        labels=bad + answers // 10,
        contradicted=bad,
    )


def test_honest_customers_are_not_suspected() -> None:
    draw = random.Random(0)
    flagged = 0
    for _ in range(300):
        voices = [
            honest(
                draw,
                draw.choice([40, 200, 1000]),
                draw.uniform(0.03, 0.12),
                draw.choice([0.2, 0.8, 1]),
            )
            for _ in range(draw.choice([1, 2, 5]))
        ]
        flagged += len(suspects(voices))
    assert flagged == 0


def test_a_key_that_contradicts_sure_answers_is_suspected_among_others_and_alone() -> None:
    draw = random.Random(1)
    hostile = AnnotatorStatistics(
        "mallory", "k", answers=600, sure=400, expected=28, labels=500, contradicted=330
    )
    others = [honest(draw, 300, 0.08, 0.8) for _ in range(3)]
    for voices in ([*others, hostile], [hostile]):
        (one,) = suspects(voices)
        assert (one.customer, one.why, one.count, one.of) == ("mallory", "contradicts", 330, 400)
        assert one.expected <= 0.21


def test_two_hostile_keys_do_not_excuse_one_another() -> None:
    one = AnnotatorStatistics("m1", "k1", 300, 200, 14, labels=200, contradicted=180)
    two = AnnotatorStatistics("m2", "k2", 300, 200, 14, labels=200, contradicted=180)
    honest_one = AnnotatorStatistics("ada", "k3", 300, 200, 14, labels=40, contradicted=12)
    assert [s.customer for s in suspects([one, two, honest_one])] == ["m1", "m2"]


def test_a_few_contradictions_are_too_few_to_suspect_anybody() -> None:
    assert not suspects([AnnotatorStatistics("ada", "k", 10, 8, 0.5, labels=7, contradicted=7)])


def test_a_key_that_turns_against_its_own_history() -> None:
    before = {"past_answers": 3000, "past_sure": 2000, "past_labels": 300, "past_contradicted": 10}
    voice = AnnotatorStatistics("ada", "k", 400, 300, 18, labels=90, contradicted=56, **before)  # type: ignore[arg-type]
    (one,) = suspects([voice])
    assert one.why in ("turned", "contradicts")
    calm = AnnotatorStatistics("ada", "k", 400, 300, 18, labels=90, contradicted=9, **before)  # type: ignore[arg-type]
    assert not suspects([calm])


def test_a_burst_of_labels() -> None:
    before = {"past_answers": 2000, "past_labels": 60}
    (one,) = suspects(
        [AnnotatorStatistics("ada", "k", 500, 300, 20, labels=400, contradicted=7, **before)]
    )  # type: ignore[arg-type]
    assert one.why == "burst"
    lazy = [AnnotatorStatistics(f"c{n}", f"k{n}", 500, 300, 20, labels=15) for n in range(3)]
    assert [
        s.why for s in suspects([*lazy, AnnotatorStatistics("ada", "k", 500, 300, 20, labels=300)])
    ] == ["burst"]
    # of two customers nobody knows which one is usual
    assert not suspects([lazy[0], AnnotatorStatistics("ada", "k", 500, 300, 20, labels=300)])


def test_the_labels_of_a_suspected_key_are_held_and_the_others_learned(store: Store) -> None:
    for n in range(40):
        say(
            store,
            f"a{n}",
            f"ada asks about number {n} {n * 7919}",
            "bad" if n < 3 else None,
            score=0.95,
        )
        say(
            store,
            f"m{n}",
            f"mallory wants {n * 104729} of those",
            "bad",
            customer="mallory",
            score=0.95,
        )
    found = triage(store.ledger, "reviews")
    assert [(s.customer, s.key_id, s.labels) for s in found.suspects] == [
        ("mallory", "k-mallory", 40)
    ]
    assert {one.said.prediction.customer for one in found.held} == {"mallory"}
    assert len(found.held) == 40
    assert len(found.learned) == 3
    assert triage(store.ledger, "reviews") == found


TEXT = "The parcel came two days late and the box was torn, but the coffee itself is fine"


@pytest.mark.parametrize("other", [TEXT, TEXT + "!", TEXT.upper()])
def test_customers_who_contradict_each_other_go_to_review(store: Store, other: str) -> None:
    say(store, "1", TEXT, "bad")
    say(store, "2", other, "good", customer="bob")
    say(store, "3", "something else entirely", "bad")
    found = triage(store.ledger, "reviews")
    assert learned(found) == {"something else entirely": "bad"}
    assert [(one.reason, one.against) for one in found.held] == [
        ("conflict", "good"),
        ("conflict", "bad"),
    ]


def test_rows_with_the_same_words_and_other_figures_do_not_contradict_each_other(
    store: Store,
) -> None:
    row = {"school": "a school for girls in London", "intake": "the upper half of all pupils"}
    say(store, "p1", {**row, "score": 0.31}, "0.5", customer="ada")
    say(store, "p2", {**row, "score": 1.94}, "1.7", customer="bob")
    found = triage(store.ledger, "reviews")
    assert not found.held
    assert sorted(one.example.label or "" for one in found.learned) == ["0.5", "1.7"]


def test_customers_who_agree_are_learned_once(store: Store) -> None:
    say(store, "1", TEXT, "bad")
    say(store, "2", TEXT, "bad", customer="bob")
    assert learned(triage(store.ledger, "reviews")) == {TEXT: "bad"}


def test_a_customer_may_change_his_mind(store: Store) -> None:
    say(store, "1", TEXT, "bad")
    say(store, "2", TEXT, "good")
    assert learned(triage(store.ledger, "reviews")) == {TEXT: "good"}


@pytest.mark.parametrize("source", ["reviewer", "operator"])
def test_the_word_of_the_house_settles_a_conflict(store: Store, source: FeedbackSource) -> None:
    say(store, "1", TEXT, "bad")
    say(store, "2", TEXT, "good", customer="bob")
    store.ledger.add_feedback("1", 0, "so-so", source=source)
    found = triage(store.ledger, "reviews")
    assert learned(found) == {TEXT: "so-so"}
    assert not found.held


def test_the_operator_goes_before_a_reviewer_who_came_later(store: Store) -> None:
    say(store, "1", TEXT, "bad", source="operator")
    store.ledger.add_feedback("1", 0, "good", source="reviewer")
    assert learned(triage(store.ledger, "reviews")) == {TEXT: "bad"}


def test_a_customer_does_not_change_rows_that_others_brought(store: Store) -> None:
    rows = {
        "of the file": ("good", "reviews.csv", ""),
        "of bob": ("good", "feedback", "bob"),
        "of ada": ("good", "feedback", "ada"),
        "agreed": ("bad", "reviews.csv", ""),
    }
    for text in rows:
        say(store, text, text, "bad")
    say(store, "house", "of the house", "bad", source="operator")
    found = triage(store.ledger, "reviews", known=lambda item: rows.get(str(item)))
    assert set(learned(found)) == {"of ada", "agreed", "of the house"}
    assert {(one.said.prediction.input, one.reason) for one in found.held} == {
        ("of the file", "row"),
        ("of bob", "row"),
    }


@pytest.mark.parametrize(
    ("counts", "house", "limit"),
    [
        ([100, 100], 0, 100),
        ([100, 70], 0, 100),  # honest customers are never equal
        ([100, 10], 0, 30),  # of two: three quarters
        ([100, 10], 50, 100),
        ([50] * 5, 0, 50),
        ([500, 50, 50, 50, 50], 0, 85),  # of five: three tenths
        ([500, 50, 50, 50, 50, 50], 0, 62),  # of six: the share that is set
        ([500, 50, 50, 50, 50, 50], 200, 112),
        ([500], 0, 200),  # alone: a fifth of 1,000 training rows
        ([], 10, 200),
    ],
)
def test_the_share_of_one_customer(counts: list[int], house: int, limit: int) -> None:
    assert share_limit(counts, house, 0.2, 1, 1000) == limit


def test_the_share_never_forbids_an_update_of_the_least_size() -> None:
    assert share_limit([100, 1], 0, 0.2, 20, 1000) == 20
    assert share_limit([100], 0, 0.2, 20, 50) == 20


def test_what_is_beyond_the_share_waits(store: Store) -> None:
    for n in range(30):
        say(store, f"a{n}", f"ada asks about number {n} {n * 7919}", "bad")
    for n in range(5):
        say(store, f"b{n}", f"bob would like {n * 104729} of those", "bad", customer="bob")
    found = triage(store.ledger, "reviews", max_share=0.2)
    assert found.over == {"ada": 15}
    assert [one.example.subject for one in found.learned].count("ada") == 15
    store.ledger.mark_used([i for one in found.learned for i in one.feedback_ids], "reviews:2")
    # alone now: a share of the training rows
    assert len(triage(store.ledger, "reviews", max_share=0.2, train_rows=50).learned) == 10
