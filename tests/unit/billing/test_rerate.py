"""Pricing a closed month again: the difference is shown first, written once, and the past stays."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from feilun.billing.invoices import close_month
from feilun.billing.rerate import Rerating, rerate, rerating
from feilun.errors import Conflict, NotFound
from feilun.project.invoicing import Invoices
from feilun.store import Store
from feilun.store.records import Customer, Price
from helpers.month import AFTER, MONTH, add_customer, add_plan, call, day

LATER = datetime(2025, 11, 20, tzinfo=UTC)


def plan(per_1000: str, **more: Any) -> dict[str, Any]:
    rates = [{"unit": "inputs", "tiers": [{"per_1000": per_1000}]}]
    return {"currency": "EUR", "rates": rates, **more}


@pytest.fixture
def store(any_store: Store) -> Store:
    any_store.catalog.add_project("reviews", "text-classification")
    return any_store


@pytest.fixture
def ada(store: Store) -> Customer:
    """Ten calls of 100 inputs at 5.00: 5.00 for the month, which is closed."""
    add_plan(store, "dear", plan("5"))
    customer = add_customer(store, "Ada", "dear")
    for number in range(1, 11):
        call(store, customer, day(number), 100)
    close_month(store, MONTH, now=AFTER)
    return customer


@pytest.fixture
def cheap(store: Store) -> Price:
    return add_plan(store, "cheap", plan("3"))


def november(store: Store) -> list[tuple[str, str]]:
    [invoice] = close_month(store, "2025-11", now=datetime(2025, 12, 2, tzinfo=UTC))
    return [(line["kind"], line["amount"]) for line in invoice.document["lines"]]


def test_the_difference_is_shown_and_nothing_written(
    store: Store, ada: Customer, cheap: Price
) -> None:
    events = list(store.ledger.events())
    found = rerating(store, ada, MONTH, cheap.id)
    assert (found.charged, found.target, found.difference) == (5_000_000, 3_000_000, -2_000_000)
    assert found.lines == [
        {"line": "cheap/*/*:inputs", "unit": "inputs", "volume": 1000, "amount": "3.00"}
    ]
    assert list(store.ledger.events()) == events


def test_it_becomes_a_credit_of_the_month_in_which_it_is_done(
    store: Store, ada: Customer, cheap: Price
) -> None:
    before = store.invoices.invoices()
    past = list(store.ledger.events())
    found, written = rerate(store, ada, MONTH, cheap.id, now=LATER)
    assert written
    assert found.difference == -2_000_000
    *same, event = store.ledger.events()
    assert same == past
    assert (event.kind, event.amount, event.price_version) == ("credit", -2_000_000, cheap.id)
    assert store.invoices.invoices() == before
    assert close_month(store, MONTH, check=True, now=AFTER) == before
    assert november(store) == [("rerate", "-2.00")]


def test_again_it_changes_nothing(store: Store, ada: Customer, cheap: Price) -> None:
    assert rerate(store, ada, MONTH, cheap.id, now=LATER)[1]
    events = list(store.ledger.events())
    for _ in range(3):
        found, written = rerate(store, ada, MONTH, cheap.id, now=LATER)
        assert not written
        assert found.difference == 0
    assert list(store.ledger.events()) == events


def test_several_at_once_write_it_once(store: Store, ada: Customer, cheap: Price) -> None:
    start = threading.Barrier(6)
    written = []

    def work() -> None:
        start.wait()
        written.append(rerate(store, ada, MONTH, cheap.id, now=LATER)[1])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written) == [False] * 5 + [True]
    assert november(store) == [("rerate", "-2.00")]


def test_there_and_back_comes_to_nothing(store: Store, ada: Customer, cheap: Price) -> None:
    [dear] = store.catalog.plan_versions("dear")
    rerate(store, ada, MONTH, cheap.id, now=LATER)
    back, written = rerate(store, ada, MONTH, dear.id, now=LATER)
    assert written
    assert back.difference == 2_000_000
    assert sorted(november(store)) == [("rerate", "-2.00"), ("rerate", "2.00")]


def test_tiers_and_minimum_of_the_other_version_count(store: Store, ada: Customer) -> None:
    rates = [
        {"unit": "inputs", "included": 400, "tiers": [{"per_1000": "10"}]},
        {"unit": "calls", "tiers": [{"per_1000": "100"}]},
    ]
    tiered = add_plan(store, "tiered", {"currency": "EUR", "rates": rates})
    # 600 × 10 / 1000 + 10 × 100 / 1000 = 7
    assert rerating(store, ada, MONTH, tiered.id).target == 7_000_000
    least = add_plan(store, "least", plan("1", monthly_minimum="9"))
    assert rerating(store, ada, MONTH, least.id).target == 9_000_000


def test_a_minimum_that_was_charged_counts(store: Store) -> None:
    add_plan(store, "dear", plan("5", monthly_minimum="20"))
    customer = add_customer(store, "Bob", "dear")
    call(store, customer, day(1), 1000)
    close_month(store, MONTH, now=AFTER)
    cheap = add_plan(store, "cheap", plan("3"))
    found = rerating(store, customer, MONTH, cheap.id)
    assert (found.charged, found.target) == (20_000_000, 3_000_000)


def test_calls_that_it_does_not_price_keep_what_they_cost(store: Store, ada: Customer) -> None:
    only = plan("1")
    only["rates"][0]["endpoint"] = "pictures"
    pictures = add_plan(store, "pictures", only)
    with pytest.raises(Conflict) as caught:
        rerating(store, ada, MONTH, pictures.id)
    assert caught.value.code == "billing.rerate_nothing"
    customer = add_customer(store, "Bob", "dear")
    call(store, customer, day(1), 100)  # 0.50
    call(store, customer, day(1), 100, endpoint="pictures")  # 0.50, by the other 0.10
    close_month(store, MONTH, [customer], now=AFTER)
    found = rerating(store, customer, MONTH, pictures.id)
    assert (found.charged, found.target) == (1_000_000, 600_000)


def test_what_cannot_be_rated_again(store: Store, ada: Customer) -> None:
    with pytest.raises(NotFound):
        rerating(store, ada, MONTH, 999)
    cheap = add_plan(store, "cheap", plan("3"))
    with pytest.raises(NotFound) as caught:
        rerating(store, ada, "2025-09", cheap.id)
    assert caught.value.code == "billing.not_closed"
    dollars = add_plan(store, "dollars", plan("3") | {"currency": "USD"})
    with pytest.raises(Conflict) as refused:
        rerating(store, ada, MONTH, dollars.id)
    assert refused.value.code == "billing.rerate_currency"


def test_the_verb_says_what_it_did(store: Store, ada: Customer, cheap: Price) -> None:
    verbs = Invoices(store)
    shown = verbs.rerate("Ada", MONTH, cheap.id)
    assert (shown.difference, shown.written) == ("-2.00", False)
    assert "--yes" in shown.tables()[0].notes[0]
    done = verbs.rerate("Ada", MONTH, cheap.id, write=True)
    assert done.written
    again = verbs.rerate("Ada", MONTH, cheap.id, write=True)
    assert not again.written
    assert again.difference == "0.00"
    assert isinstance(rerating(store, ada, MONTH, cheap.id), Rerating)
