"""The ledger: events, predictions, feedback; on both databases."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from feilun.errors import Conflict, Forbidden, Gone, NotFound
from feilun.store import Store
from feilun.store.ids import new_id
from feilun.store.ledger_records import Event, Prediction

NOW = datetime.now(UTC)


def charge(call: str, **changes: Any) -> Event:
    values: dict[str, Any] = {
        "call_id": call,
        "units": {"calls": 1, "inputs": 2, "tokens": 30},
        "amount": 1000,
        "cost": 7,
        "customer": "ann",
        "project": "reviews",
        "endpoint": "reviews",
        "model_version": "reviews@1",
        "engine_us": 900,
    }
    return Event(**values | changes)


def answer(call: str, index: int = 0, **changes: Any) -> Prediction:
    values: dict[str, Any] = {
        "prediction_id": call,
        "index": index,
        "input": "good tea",
        "output": {"label": "great", "score": 0.75},
        "label": "great",
        "score": 0.75,
        "margin": 0.5,
        "model_version": "reviews@1",
        "project": "reviews",
        "customer": "ann",
    }
    return Prediction(**values | changes)


def test_an_event_comes_back_as_it_went(any_store: Store) -> None:
    ledger = any_store.ledger
    event = charge("c1", units={"calls": 1, "inputs": 1, "tokens": 3, "audio_ms": 1200})
    ledger.commit([event], [answer("c1")])
    [found] = ledger.events()
    assert found.units == {"calls": 1, "inputs": 1, "tokens": 3, "pixels": 0, "audio_ms": 1200}
    assert (found.amount, found.cost, found.engine_us) == (1000, 7, 900)
    assert found.id
    assert ":" in found.writer
    assert found.created is not None
    assert found.created.tzinfo is UTC


def test_events_cannot_be_changed_or_deleted(any_store: Store) -> None:
    any_store.ledger.commit([charge("c1")])
    database = any_store.databases["ledger"]
    statements = ["UPDATE events SET amount = 0", "DELETE FROM events"]
    if not any_store.sqlite:
        statements.append("TRUNCATE events")
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), database.write() as connection:
            connection.execute(text(statement))
    assert [event.amount for event in any_store.ledger.events()] == [1000]


def test_all_of_a_commit_or_nothing(any_store: Store) -> None:
    ledger = any_store.ledger
    ledger.commit([charge("c1")], [answer("c1")])
    with pytest.raises(Conflict, match="c1"):
        ledger.commit([charge("c2"), charge("c1")], [answer("c2")])
    with pytest.raises(Conflict):
        ledger.commit([charge("c3")], [answer("c1")])
    ledger.commit([charge("c1", seq=1, kind="credit", amount=-1000)])
    assert ledger.counts() | {"waiting": 0} == {
        "events": 2,
        "predictions": 1,
        "inputs": 1,
        "feedback": 0,
        "waiting": 0,
    }
    ledger.commit([])


def test_ids_grow(any_store: Store) -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert all(len(id_) == 32 and id_[12] == "7" and id_[16] in "89ab" for id_ in ids)
    any_store.ledger.commit([charge(f"c{n}") for n in range(20)])
    assert [event.call_id for event in any_store.ledger.events()] == [f"c{n}" for n in range(20)]


def test_usage_rolls_up(any_store: Store) -> None:
    ledger = any_store.ledger
    ledger.commit(
        [
            charge("c1", created=NOW - timedelta(days=3)),
            charge("c2"),
            charge("c3", customer="bob", units={"calls": 1, "audio_ms": 5}),
            charge("c4", currency="CNY"),
            charge("c5", kind="hold", amount=5_000_000_000_000),
            charge("c5", seq=1, kind="release", amount=-5_000_000_000_000),
            charge("c2", seq=1, kind="credit", amount=-400, units={}),
        ]
    )
    yuan, dollar = ledger.usage()
    assert (yuan.currency, yuan.amount, yuan.events) == ("CNY", 1000, 1)
    assert (dollar.amount, dollar.cost, dollar.events) == (2600, 28, 4)
    assert dollar.units == {"calls": 3, "inputs": 4, "tokens": 60, "pixels": 0, "audio_ms": 5}
    assert dollar.by == {"project": "reviews"}
    [bob] = ledger.usage(customer="bob", by=("customer",))
    assert (bob.by, bob.units["audio_ms"]) == ({"customer": "bob"}, 5)
    days = ledger.usage(customer="ann", by=("day",), since=NOW - timedelta(days=4))
    assert [row.by["day"] for row in days if row.currency == "USD"] == [
        (NOW - timedelta(days=3)).date().isoformat(),
        NOW.date().isoformat(),
    ]
    assert ledger.usage(until=NOW - timedelta(days=5)) == []
    assert [e.call_id for e in ledger.events(customer="bob")] == ["c3"]
    assert [e.seq for e in ledger.events(call_id="c5")] == [0, 1]


@pytest.mark.parametrize(
    "item",
    [
        "plain",
        "NUL \0, lone \ud800 and 茶",
        3.5,
        None,
        b"\x89PNG bytes",
        {"text": "a", "image": b"\x00\x01", "stars": 4},
        {"$blob": "0" * 64},
        {},
    ],
    ids=str,
)
def test_inputs_come_back_as_they_came(any_store: Store, item: Any) -> None:
    any_store.ledger.commit([charge("c1")], [answer("c1", input=item)])
    found = any_store.ledger.prediction("c1")
    assert found.input == item
    assert (found.stored, found.purged) == (True, False)
    assert found.output == {"label": "great", "score": 0.75}
    assert found.input_hash


def test_what_is_not_stored_is_not_there(any_store: Store) -> None:
    any_store.ledger.commit([], [answer("c1", input="secret words", stored=False)])
    found = any_store.ledger.prediction("c1")
    assert (found.input, found.input_hash, found.stored) == (None, None, False)
    with pytest.raises(NotFound, match="no answer 1"):
        any_store.ledger.prediction("c1", 1)


def test_equal_bytes_are_kept_once_and_purged_when_the_last_owner_expires(
    any_store: Store,
) -> None:
    ledger, blobs = any_store.ledger, any_store.blobs
    soon = NOW + timedelta(days=1)
    late = NOW + timedelta(days=9)
    ledger.commit(
        [],
        [
            answer("c1", 0, input=b"picture", expires=soon),
            answer("c1", 1, input={"a": b"picture", "b": b"other"}, expires=late),
            answer("c1", 2, input="kept for ever"),
        ],
    )
    assert len(list(blobs.names())) == 2
    assert ledger.expired() == 0
    assert ledger.expired(NOW + timedelta(days=2)) == 1
    assert ledger.purge_expired(NOW + timedelta(days=2), grace=0) == 1
    assert ledger.purge_expired(NOW + timedelta(days=2), grace=0) == 0
    first = ledger.prediction("c1", 0)
    assert (first.input, first.input_hash, first.purged) == (None, None, True)
    assert first.output == {"label": "great", "score": 0.75}
    assert ledger.prediction("c1", 1).input == {"a": b"picture", "b": b"other"}
    assert ledger.purge_expired(NOW + timedelta(days=10), grace=0) == 1
    assert list(blobs.names()) == []
    assert ledger.prediction("c1", 2).input == "kept for ever"
    assert ledger.counts()["inputs"] == 1


def test_many_inputs_expire_in_short_transactions(any_store: Store) -> None:
    past = NOW - timedelta(seconds=1)
    any_store.ledger.commit([], [answer("c1", n, expires=past) for n in range(1203)])
    assert any_store.ledger.purge_expired() == 1203


def test_young_bytes_are_left_alone(any_store: Store) -> None:
    ledger, blobs = any_store.ledger, any_store.blobs
    blobs.put(b"its row is being written")
    assert ledger.sweep_blobs() == (0, 0)
    assert ledger.sweep_blobs(grace=0, dry_run=True) == (1, 24)
    assert len(list(blobs.names())) == 1
    assert ledger.sweep_blobs(grace=0) == (1, 24)
    assert list(blobs.names()) == []


def test_lost_bytes_count_as_gone(any_store: Store) -> None:
    ledger = any_store.ledger
    ledger.commit([], [answer("c1", input={"text": "a", "image": b"x"})])
    [name] = any_store.blobs.names()
    any_store.blobs.remove(name)
    found = ledger.prediction("c1")
    assert (found.input, found.purged) == (None, True)


def test_feedback_the_last_word_counts_and_the_house_goes_first(any_store: Store) -> None:
    ledger = any_store.ledger
    ledger.commit([], [answer("c1"), answer("c2"), answer("c3", project="other")])
    first = ledger.add_feedback("c1", 0, "great", source="customer", customer="ann")
    again = ledger.add_feedback("c1", 0, "great", source="customer", customer="ann")
    assert again == first
    second = ledger.add_feedback("c1", 0, "其他", source="customer", customer="ann")
    ledger.add_feedback("c3", 0, "great", source="operator")
    assert ledger.feedback_of("c1") == [first, second]
    [one] = ledger.feedback("reviews")
    assert (one.feedback, one.prediction.input) == (second, "good tea")
    review = ledger.add_feedback("c1", 0, "great", source="reviewer")
    assert [f.feedback for f in ledger.feedback("reviews")] == [review]
    later = ledger.add_feedback("c1", 0, "third", source="customer", customer="ann")
    assert later.id not in [f.feedback.id for f in ledger.feedback("reviews")]
    assert ledger.waiting("reviews") == 1
    assert ledger.waiting() == 2

    ledger.mark_used([review.id], "reviews:2")
    assert list(ledger.feedback("reviews", unused_only=True)) == []
    assert ledger.waiting("reviews") == 0
    assert next(ledger.feedback("reviews")).feedback.used_in == "reviews:2"
    ledger.add_feedback("c1", 0, "changed", source="reviewer")
    assert [f.feedback.label for f in ledger.feedback("reviews", unused_only=True)] == ["changed"]
    assert list(ledger.feedback("reviews", model_version="reviews@9")) == []


def test_a_word_that_is_sent_to_two_servers_is_one(open_any: Callable[[], Store]) -> None:
    """A client whose connection broke sends it again, while the first is still being written."""
    stores = [open_any(), open_any()]
    calls = [f"call-{number}" for number in range(20)]
    stores[0].ledger.commit([], [answer(call, customer="ann") for call in calls])
    both = Barrier(2)

    def say(store: Store) -> None:
        for call in calls:
            both.wait(30)
            store.ledger.add_feedback(call, 0, "great", source="customer", customer="ann")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(say, stores))
    assert stores[0].ledger.counts()["feedback"] == len(calls)


def test_the_operator_goes_before_a_reviewer_who_came_later(any_store: Store) -> None:
    ledger = any_store.ledger
    ledger.commit([], [answer("c1")])
    ledger.add_feedback("c1", 0, "mine", source="operator")
    ledger.add_feedback("c1", 0, "theirs", source="reviewer")
    assert [f.feedback.label for f in ledger.feedback("reviews")] == ["mine"]


def test_what_each_key_got_and_said(any_store: Store) -> None:
    ledger = any_store.ledger
    hour = timedelta(hours=1)
    rows = [
        answer("old", created=NOW - hour, customer="ann", key_id="k1", label="good", score=0.9),
        answer("new", created=NOW, customer="ann", key_id="k1", label="good", score=0.9),
        answer("doubt", created=NOW, customer="ann", key_id="k1", label="good", score=0.6),
        answer("bob", created=NOW, customer="bob", key_id="k2", label="good", score=0.8),
    ]
    ledger.commit([], rows)
    past = ledger.add_feedback("old", 0, "bad", source="customer", customer="ann")
    ledger.mark_used([past.id], "reviews:2")
    for call in ("new", "doubt"):
        ledger.add_feedback(call, 0, "bad", source="customer", customer="ann", key_id="k9")
    ledger.add_feedback("bob", 0, "bad", source="operator")
    ann, other, bob = ledger.annotators("reviews", NOW, 0.8)
    assert (ann.customer, ann.key_id, ann.answers, ann.sure) == ("ann", "k1", 2, 1)
    assert ann.expected == pytest.approx(0.1)
    assert (ann.past_answers, ann.past_labels, ann.past_contradicted) == (1, 1, 1)
    # what another key of the same customer said is its own
    assert (other.key_id, other.answers, other.labels, other.contradicted) == ("k9", 0, 2, 1)
    assert (bob.answers, bob.labels) == (1, 0)
    assert ledger.annotators("reviews", None, 0.8)[0].answers == 3


def test_the_audit_counts_what_was_drawn_alone(any_store: Store) -> None:
    ledger = any_store.ledger
    ledger.commit([], [answer(f"c{n}", label="good") for n in range(4)])
    ledger.commit([], [answer("kept-not", label="good", stored=False)])
    ledger.add_feedback("c0", 0, "good", source="reviewer", asked="audit")
    ledger.add_feedback("c1", 0, "bad", source="reviewer", asked="audit")
    ledger.add_feedback("c2", 0, "bad", source="reviewer", asked="review")
    ledger.add_feedback("c3", 0, "good", source="reviewer")
    ledger.add_feedback("c3", 0, "good", source="reviewer", asked="audit")  # said before, drawn now
    assert ledger.audited("reviews", "reviews@1") == (3, 2)
    assert ledger.audited("reviews", "reviews@2") == (0, 0)
    assert ledger.audited_answers("reviews") == {("c0", 0), ("c1", 0), ("c3", 0)}
    assert ledger.answered("reviews", "reviews@1") == (5, 4)


def test_rejections_are_counted_and_outweigh_who_was_content(any_store: Store) -> None:
    ledger = any_store.ledger
    ledger.commit([], [answer(f"c{n}") for n in range(5)])
    ledger.commit([], [answer("other", model_version="reviews@2")])
    for call, label in (("c0", "great"), ("c1", "bad"), ("c2", "great")):
        ledger.add_feedback(call, 0, label, source="customer", customer="ann")
    said = ledger.add_remark("c2", 0, source="reviewer", reason="wrong_fact", asked="audit")
    again = ledger.add_remark("c2", 0, source="reviewer", reason="wrong_fact")
    assert again.id == said.id
    ledger.add_remark("c3", 0, source="customer", customer="ann", reason="other", note="é\0\ud800")
    ledger.add_remark("other", 0, source="operator", reason="harmful")
    ledger.add_feedback("other", 0, "bad", source="operator")
    found = [
        (o.what, o.reason, o.by_customer, o.drawn, o.answers) for o in ledger.reviewed("reviews")
    ]
    assert found == [
        ("accepted", None, True, False, 1),
        ("edited", None, True, False, 1),
        ("rejected", "other", True, False, 1),
        ("rejected", "wrong_fact", False, True, 1),
        ("rejected", "harmful", False, False, 1),
    ]
    assert ledger.waiting("reviews") == 3, "what c2 was called counts no more"
    assert ledger.audited("reviews", "reviews@1") == (1, 0)
    assert ledger.audited_answers("reviews") == {("c2", 0)}
    assert ledger.rejected_answers("reviews") == {("c2", 0), ("c3", 0)}
    ((remark, kept),) = ledger.rejections_to_answer("reviews", 10)
    assert (remark.reason, kept.place, kept.input) == ("other", ("c3", 0), "good tea")
    left = ledger.recent_predictions("reviews", unlabelled_only=True)
    assert {row.prediction_id for row in left} == {"c3", "c4"}
    assert ledger.take_back_remark(said.id)
    assert ledger.waiting("reviews") == 4
    with pytest.raises(Forbidden):
        ledger.add_remark("c4", 0, source="customer", customer="bob", reason="other")
    with pytest.raises(NotFound):
        ledger.add_remark("c9", 0, source="operator", reason="other")


def test_feedback_that_is_refused(any_store: Store) -> None:
    ledger = any_store.ledger
    past = NOW - timedelta(seconds=1)
    ledger.commit(
        [],
        [answer("c1"), answer("c1", 1, stored=False), answer("c1", 2, expires=past)],
    )

    def say(index: int, **by: Any) -> None:
        ledger.add_feedback("c1", index, "great", **{"source": "operator"} | by)

    with pytest.raises(Forbidden, match="another customer"):
        say(0, source="customer", customer="bob")
    with pytest.raises(Forbidden):
        say(0, source="customer", customer=None)
    with pytest.raises(Gone, match="not stored"):
        say(1)
    with pytest.raises(Gone, match="expired"):
        say(2)
    ledger.purge_expired()
    with pytest.raises(Gone, match="expired"):
        say(2)
    with pytest.raises(NotFound):
        say(3)
    assert ledger.counts()["feedback"] == 0


def test_expired_inputs_are_not_learned_from(any_store: Store) -> None:
    ledger = any_store.ledger
    ledger.commit([], [answer("c1", expires=NOW + timedelta(days=1))])
    ledger.add_feedback("c1", 0, "x", source="operator")
    ledger.purge_expired(NOW + timedelta(days=2))
    assert list(ledger.feedback("reviews")) == []
    assert ledger.waiting() == 0
    [gone] = ledger.feedback("reviews", usable_only=False)
    assert gone.prediction.input is None


def test_recent_predictions(any_store: Store) -> None:
    ledger = any_store.ledger
    for n in range(4):
        ledger.commit([], [answer(f"c{n}", created=NOW - timedelta(hours=n))])
    ledger.commit(
        [],
        [
            answer("d1", stored=False),
            answer("d2", project="other"),
            answer("d3", model_version="reviews@2"),
        ],
    )
    ledger.add_feedback("c1", 0, "x", source="operator")

    def ids(**only: Any) -> list[str]:
        return [p.prediction_id for p in ledger.recent_predictions("reviews", **only)]

    assert ids() == ["d3", "c0", "c1", "c2", "c3"]
    assert ids(limit=2) == ["d3", "c0"]
    assert ids(unlabelled_only=True, model_version="reviews@1") == ["c0", "c2", "c3"]
    assert ids(since=NOW - timedelta(minutes=90)) == ["d3", "c0", "c1"]
    assert "d1" in ids(usable_only=False)


@pytest.mark.slow
def test_a_thousand_rows_take_no_time(lite: Store) -> None:
    calls = [(charge(f"c{n}"), answer(f"c{n}")) for n in range(1500)]
    started = time.process_time()
    for at in range(0, len(calls), 50):
        events, answers = zip(*calls[at : at + 50], strict=True)
        lite.ledger.commit(events, answers)
    # Measured: 14,000 rows a second. Processor time, so that neighbours do not matter.
    assert time.process_time() - started < 1.0
