"""Which prices a call has, and that a month's calls cost what the month's volume costs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.billing.currency import exact_text
from feilun.billing.plans import Plan, parse_plan
from feilun.billing.rating import RateBook
from feilun.money import Tariff
from feilun.store import Store, open_store
from feilun.store.ledger_records import Event

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
UNITS = {"calls": 1, "inputs": 3, "tokens": 40, "pixels": 0}


def plan(*rates: dict[str, Any], currency: str = "EUR") -> Plan:
    full = [{"tiers": [{"per_1000": "1"}]} | rate for rate in rates]
    return parse_plan({"currency": currency, "rates": full}, "test")


def book(store: Store) -> RateBook:
    made = RateBook(store.catalog)
    made.reload()
    return made


def test_list_prices_hold_without_a_plan(any_store: Store) -> None:
    catalog = any_store.catalog
    for name in ("reviews", "pictures", "free"):
        catalog.add_project(name, "text-classification")
    price = catalog.add_price("reviews", 1_500_000, "USD", NOW - DAY)
    later = catalog.add_price("reviews", 2_000_000, "USD", NOW + DAY)
    catalog.add_price("free", 0, "USD", NOW - DAY)
    rates = book(any_store)
    rating = rates.rate("ada", "reviews", "reviews", UNITS, NOW)
    (rated,) = rating.rates
    assert (rated.line, rated.units, rated.tariff) == ("reviews:inputs", 3, Tariff.flat(1_500_000))
    assert (rating.price_version, rating.currency) == (price.id, "USD")
    assert rates.rate("ada", "reviews", "reviews", UNITS, NOW + DAY).price_version == later.id
    assert rates.rate("ada", "reviews", "reviews", UNITS, NOW - 2 * DAY).price_version is None
    unpriced = rates.rate("ada", "pictures", "pictures", UNITS, NOW)
    assert (unpriced.rates, unpriced.price_version, unpriced.currency) == ((), None, None)
    free = rates.rate("ada", "free", "free", UNITS, NOW)
    assert (free.rates, free.currency) == ((), "USD")


def test_a_plan_goes_before_the_list_price(any_store: Store) -> None:
    catalog = any_store.catalog
    catalog.add_project("reviews", "text-classification")
    catalog.add_project("pictures", "image-classification")
    listed = catalog.add_price("pictures", 7_000_000, "USD", NOW - DAY)
    ada, bob = catalog.add_customer("Ada").id, catalog.add_customer("Bob").id
    document = plan({"project": "reviews"}, {"project": "reviews", "unit": "tokens"})
    version = catalog.add_plan("pro", document.stored(), "EUR", NOW - DAY)
    catalog.subscribe(ada, "pro", NOW - DAY)
    rates = book(any_store)
    found = rates.rate(ada, "reviews", "reviews", UNITS, NOW)
    assert [(r.line, r.units) for r in found.rates] == [
        ("pro/reviews/*:inputs", 3),
        ("pro/reviews/*:tokens", 40),
    ]
    assert (found.price_version, found.currency) == (version.id, "EUR")
    # What the plan does not price costs the list price, and is free for nobody.
    other = rates.rate(ada, "pictures", "pictures", UNITS, NOW)
    assert (other.price_version, other.currency) == (listed.id, "USD")
    assert rates.rate(bob, "pictures", "pictures", UNITS, NOW) == other
    assert rates.plan_of(bob, NOW) is None
    held = rates.plan_of(ada, NOW)
    assert held is not None
    assert held.id == version.id


def test_the_narrowest_rate_of_a_unit_holds() -> None:
    everywhere, project, endpoint = {}, {"project": "reviews"}, {"endpoint": "vip"}
    document = plan(everywhere, project, endpoint, {"project": "reviews", "endpoint": "vip"})

    def line(project: str, endpoint: str) -> list[str]:
        return [rate.line("p") for rate in document.rates_for(project, endpoint)]

    assert line("pictures", "pictures") == ["p/*/*:inputs"]
    assert line("reviews", "reviews") == ["p/reviews/*:inputs"]
    assert line("pictures", "vip") == ["p/*/vip:inputs"]
    assert line("reviews", "vip") == ["p/reviews/vip:inputs"]


def test_versions_and_subscriptions_take_turns(any_store: Store) -> None:
    catalog = any_store.catalog
    catalog.add_project("reviews", "text-classification")
    ada = catalog.add_customer("Ada").id
    one = catalog.add_plan("a", plan({}).stored(), "EUR", NOW - 9 * DAY)
    two = catalog.add_plan("a", plan({"included": 5}).stored(), "EUR", NOW + DAY)
    other = catalog.add_plan("b", plan({}, currency="USD").stored(), "USD", NOW - 9 * DAY)
    catalog.subscribe(ada, "a", NOW - DAY)
    catalog.subscribe(ada, "b", NOW + 2 * DAY)
    catalog.subscribe(ada, None, NOW + 3 * DAY)
    rates = book(any_store)
    for moment, version in (
        (NOW - 2 * DAY, None),
        (NOW, one.id),
        (NOW + DAY, two.id),
        (NOW + 2 * DAY, other.id),
        (NOW + 3 * DAY, None),
    ):
        assert rates.rate(ada, "reviews", "reviews", UNITS, moment).price_version == version
    assert rates.until(ada, NOW) == NOW + DAY
    assert rates.until(ada, NOW + DAY) == NOW + 2 * DAY
    # Within one plan the month's place is kept: its versions count on the same line.
    lines = [rates.lines(ada, "reviews", "reviews", NOW + n * DAY).lines[0].name for n in (0, 1)]
    assert lines == ["a/*/*:inputs"] * 2


def test_what_is_kept_ends_when_the_next_price_begins(
    lite: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        """What the rate book asks for the time."""

        at = NOW

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return cls.at

    monkeypatch.setattr("feilun.billing.rating.datetime", Clock)
    catalog = lite.catalog
    catalog.add_project("reviews", "text-classification")
    first = catalog.add_price("reviews", 1, "USD", NOW - DAY)
    second = catalog.add_price("reviews", 2, "USD", NOW + DAY)
    rates = book(lite)

    def version() -> int | None:
        return rates.rate("ada", "reviews", "reviews", UNITS).price_version

    assert version() == first.id
    Clock.at = NOW + DAY - timedelta(microseconds=1)
    assert version() == first.id
    Clock.at = NOW + DAY
    assert version() == second.id
    third = catalog.add_price("reviews", 3, "USD", NOW + DAY / 2)
    fourth = catalog.add_price("reviews", 4, "USD", NOW + DAY)
    assert version() == second.id  # until the book is read again
    assert rates.look_again()
    assert not rates.look_again()
    assert version() == fourth.id
    assert rates.rate("ada", "reviews", "reviews", UNITS, NOW + 0.6 * DAY).price_version == third.id


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    ends = draw(st.lists(st.integers(1, 5_000), max_size=4, unique=True))
    prices = st.integers(0, 3_000_000)
    return Tariff((*((end, draw(prices)) for end in sorted(ends)), (None, draw(prices))))


def slow_total(tariff: Tariff, volume: int) -> float:
    """Unit by unit, as a person would."""
    total, place = 0, 0
    for unit in range(volume):
        while tariff.tiers[place][0] is not None and unit >= (tariff.tiers[place][0] or 0):
            place += 1
        total += tariff.tiers[place][1]
    return total / 1000


@given(tariffs(), st.lists(st.integers(0, 900), max_size=12))
def test_calls_add_up_to_the_volume(tariff: Tariff, calls: list[int]) -> None:
    before = total = 0
    for units in calls:
        amount = tariff.amount(before, units)
        assert amount >= 0
        total += amount
        before += units
    assert total == tariff.total(before)
    assert abs(total - slow_total(tariff, before)) <= 0.5


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all examples: each has a customer and a plan of its own."""
    with open_store(tmp_path_factory.mktemp("workspace")) as store:
        yield store


@settings(max_examples=25)
@given(
    tiers=st.lists(st.integers(0, 2_000_000), min_size=1, max_size=3),
    included=st.integers(0, 40),
    calls=st.lists(st.integers(1, 60), min_size=1, max_size=8),
)
def test_the_ledger_charges_what_the_plan_says(
    shared: Store, tiers: list[int], included: int, calls: list[int]
) -> None:
    steps: list[dict[str, Any]] = [
        {"up_to": included + 30 * (n + 1), "per_1000": exact_text(price, "EUR")}
        for n, price in enumerate(tiers)
    ]
    del steps[-1]["up_to"]
    document = plan({"included": included, "tiers": steps})
    ada = shared.catalog.add_customer("Ada").id
    name = ada.lower().replace("_", "-")
    shared.catalog.add_plan(name, document.stored(), "EUR", NOW - DAY)
    shared.catalog.subscribe(ada, name, NOW - DAY)
    rates = book(shared)
    for number, inputs in enumerate(calls):
        rating = rates.rate(ada, "reviews", "reviews", {"calls": 1, "inputs": inputs}, NOW)
        event = Event(
            f"{ada}:{number}",
            units={"calls": 1, "inputs": inputs},
            rates=rating.rates,
            price_version=rating.price_version,
            currency=rating.currency or "",
            customer=ada,
            project="reviews",
        )
        shared.ledger.commit([event])
    (usage,) = shared.ledger.usage(customer=ada)
    assert usage.amount == document.rates[0].tariff().total(sum(calls))
    assert usage.currency == "EUR"
