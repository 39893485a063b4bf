"""Sums are kept beside the events and equal them exactly; amounts come from places in the month."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from feilun.errors import Conflict
from feilun.money import Tariff
from feilun.store import Store
from feilun.store.ledger_records import CallOutcome, Event, LedgerCall, Rated
from feilun.store.ledger_rows import UNITS

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STEPS = Tariff(((1_000, 0), (10_000, 500_000), (None, 300_000)))


def call(name: str, inputs: int = 7, tariff: Tariff = STEPS, **changes: Any) -> LedgerCall:
    values: dict[str, Any] = {
        "call_id": name,
        "units": {"calls": 1, "inputs": inputs},
        "currency": "USD",
        "customer": "ann",
        "project": "reviews",
        "endpoint": "reviews",
        "model_version": "reviews@1",
        "rates": (Rated("plan:inputs", inputs, tariff),),
    }
    return LedgerCall([Event(**values | changes)])


def amounts(outcomes: list[CallOutcome]) -> list[int]:
    return [outcome.amounts[0] for outcome in outcomes]


def test_amounts_follow_the_place_in_the_month(any_store: Store) -> None:
    ledger = any_store.ledger
    first = ledger.commit_group([call("a", 900), call("b", 200), call("c", 10_000)])
    # 900 free; 100 free and 100 at .0005; 8,900 at .0005 and 1,100 at .0003.
    assert amounts(first) == [0, 50_000, 4_450_000 + 330_000]
    assert amounts(ledger.commit_group([call("d", 1)])) == [300]
    # Another customer, another line, another month begin anew.
    others = [
        call("e", 1_001, customer="bob"),
        call("f", 1_001, rates=(Rated("other", 1_001, STEPS),)),
        call("g", 1_001, created=datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)),
    ]
    assert amounts(ledger.commit_group(others)) == [500, 500, 500]
    assert [event.amount for event in ledger.events(call_id="d")] == [300]
    assert ledger.verify().ok


def test_several_rates_of_one_call_add_up(any_store: Store) -> None:
    rates = (Rated("inputs", 2_000, STEPS), Rated("tokens", 50, Tariff.flat(1_000_000)))
    [outcome] = any_store.ledger.commit_group([call("a", rates=rates)])
    assert outcome.amounts == (500_000 + 50_000,)


def test_what_is_refused_advances_nothing(any_store: Store) -> None:
    ledger = any_store.ledger
    ledger.commit_group([call("a", 1_000)])
    with pytest.raises(Conflict):
        ledger.commit_group([call("b", 1_000), call("a", 1_000)])
    assert amounts(ledger.commit_group([call("c", 1_000)])) == [500_000]
    assert ledger.verify().ok


def test_a_credit_of_units_goes_back_in_the_month(any_store: Store) -> None:
    ledger = any_store.ledger
    ledger.commit_group([call("a", 1_000), call("b", 1_000)])
    back = call("b", -1_000, kind="credit", seq=1, units={"calls": -1, "inputs": -1_000})
    assert amounts(ledger.commit_group([back])) == [-500_000]
    assert amounts(ledger.commit_group([call("c", 1_000)])) == [500_000]
    [row] = ledger.usage()
    assert (row.amount, row.units["inputs"], row.units["calls"]) == (500_000, 2_000, 2)


def test_servers_at_once_lose_no_unit(open_any: Callable[[], Store]) -> None:
    """Three ledgers commit groups of calls of the same customers at the same time."""
    stores = [open_any() for _ in range(3)]
    done: Counter[str] = Counter()
    failed: list[Exception] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        customers = ["ann", "bob", "cid", "dan"]
        try:
            for group in range(10):
                # Each in an order of its own: the ledger sorts what it locks.
                turned = customers[number:] + customers[:number]
                calls = [
                    call(f"{number}-{group}-{who}", 333, customer=who, currency="CNY")
                    for who in turned
                ]
                outcomes = stores[number].ledger.commit_group(calls)
                with lock:
                    for who, amount in zip(turned, amounts(outcomes), strict=True):
                        done[who] += amount
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    # However the calls were cut, and whoever wrote them: the price of the volume, exactly.
    assert done == dict.fromkeys(["ann", "bob", "cid", "dan"], STEPS.total(30 * 333))
    ledger = stores[0].ledger
    assert {r.by["customer"]: r.amount for r in ledger.usage(by=("customer",))} == done
    result = ledger.verify()
    assert result.ok, [fault.text() for fault in result.faults]
    assert (result.events, result.links) == (120, 30)


def test_usage_of_whole_days_and_of_parts(any_store: Store) -> None:
    ledger = any_store.ledger
    for hour in range(0, 96, 5):
        moment = NOW - timedelta(hours=hour)
        ledger.commit_group([call(f"h{hour}", created=moment, units={"calls": 1, "frames": hour})])
    events = list(ledger.events())
    edges = [NOW - timedelta(hours=n) for n in (0, 1, 5, 12, 13, 36, 50, 96, 200)]
    for since in (None, *edges):
        for until in (None, *edges):
            inside = [
                e
                for e in events
                if e.created
                and (since is None or e.created >= since)
                and (until is None or e.created < until)
            ]
            rows = ledger.usage(since=since, until=until, by=("day",))
            assert sum(row.events for row in rows) == len(inside), (since, until)
            frames = sum(row.units.get("frames", 0) for row in rows)
            assert frames == sum(e.units.get("frames", 0) for e in inside)
            days = {e.created.date().isoformat() for e in inside if e.created}
            assert {row.by["day"] for row in rows} == days


one_event = some.fixed_dictionaries(
    {
        "kind": some.sampled_from(["charge", "credit", "charge"]),
        "customer": some.sampled_from(["ann", "bob", None]),
        "key_id": some.sampled_from(["k1", None]),
        "model_version": some.sampled_from(["m@1", "m@2", None]),
        "price_version": some.sampled_from([1, 2, None]),
        "currency": some.sampled_from(["USD", "CNY"]),
        "outcome": some.sampled_from(["ok", "late"]),
        "amount": some.integers(-(10**12), 10**12),
        "cost": some.integers(0, 10**6),
        "units": some.dictionaries(
            some.sampled_from([*UNITS, "frames", "pages"]), some.integers(0, 10**9), max_size=4
        ),
        "created": some.sampled_from([None, NOW, NOW - timedelta(days=1)]),
    }
)


@settings(max_examples=12)
@given(groups=some.lists(some.lists(one_event, min_size=1, max_size=5), min_size=1, max_size=4))
def test_sums_equal_events_whatever_is_written(
    groups: list[list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from feilun.store import open_store

    with open_store(tmp_path_factory.mktemp("sums")) as store:
        number = 0
        for group in groups:
            calls = []
            for values in group:
                number += 1
                calls.append(LedgerCall([Event(f"c{number}", **values)]))
            store.ledger.commit_group(calls)
        result = store.ledger.verify()
        assert result.ok, [fault.text() for fault in result.faults]
        expected: Counter[Any] = Counter()
        for event in store.ledger.events():
            expected[event.customer, event.currency] += event.amount
        found = {
            (r.by["customer"], r.currency): r.amount for r in store.ledger.usage(by=("customer",))
        }
        assert found == expected
