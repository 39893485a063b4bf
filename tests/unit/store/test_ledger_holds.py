"""Holds: they count until settle or release ends them, once, or their time is over."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from feilun.billing.holds import EXPIRED, hold, release, release_expired, settle
from feilun.errors import Gone
from feilun.money import Tariff
from feilun.store import Store
from feilun.store.ledger_records import Event, Rated
from helpers.forked import Forked

SOON = timedelta(minutes=5)


def event(name: str, amount: int = 500, **changes: Any) -> Event:
    values: dict[str, Any] = {"amount": amount, "customer": "ann", "key_id": "k", "project": "p"}
    return Event(name, **values | changes)


def begin(store: Store, name: str, amount: int = 500, **changes: Any) -> Event:
    held = event(name, amount, **changes)
    [outcome] = store.ledger.commit_group([hold(held, datetime.now(UTC) + SOON)])
    assert outcome.written
    return held


def test_a_hold_counts_until_it_is_settled(any_store: Store) -> None:
    ledger = any_store.ledger
    begin(any_store, "a")
    begin(any_store, "b", 70, customer="bob", currency="CNY")
    assert ledger.held() == {"CNY": 70, "USD": 500}
    assert ledger.held(customer="ann", key_id="k") == {"USD": 500}
    assert [one.call_id for one in ledger.holds(customer="bob")] == ["b"]
    assert ledger.usage() == []  # nothing is owed yet
    rates = (Rated("tokens", 1_000, Tariff.flat(120)),)
    [outcome] = ledger.commit_group([settle(event("a", units={"tokens": 1_000}, rates=rates))])
    assert outcome.amounts == (120,)
    assert ledger.held(customer="ann") == {}
    [row] = ledger.usage(customer="ann")
    assert (row.amount, row.units["tokens"], row.events) == (120, 1_000, 1)
    assert ledger.verify().ok


def test_a_hold_ends_once(any_store: Store) -> None:
    ledger = any_store.ledger
    first, second = begin(any_store, "a"), begin(any_store, "b")
    [outcome] = ledger.commit_group([release(first, "client_gone")])
    assert outcome.written
    for late in (settle(first), release(first, "again")):
        [outcome] = ledger.commit_group([late])
        assert isinstance(outcome.error, Gone)
        assert not outcome.written
    # Two in one group: the first one ends it, and the rest of the group is written.
    done = ledger.commit_group([settle(second), release(second, "late"), settle(event("never"))])
    assert [one.written for one in done] == [True, False, False]
    kinds = [(one.call_id, one.kind, one.amount) for one in ledger.events()]
    assert kinds[2:] == [("a", "release", -500), ("b", "settle", 500)]
    assert ledger.held() == {}
    assert ledger.verify().ok


def test_a_hold_whose_time_is_over_is_released_by_one(open_any: Callable[[], Store]) -> None:
    stores = [open_any() for _ in range(3)]
    for number in range(60):
        begin(stores[0], f"h{number}")
    assert release_expired(stores[0].ledger) == 0
    later = datetime.now(UTC) + 2 * SOON
    released: list[int] = []
    threads = [
        threading.Thread(target=lambda s=s: released.append(release_expired(s.ledger, later)))
        for s in stores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(released) == 60
    ledger = stores[0].ledger
    assert ledger.held() == {}
    ends = [one for one in ledger.events() if one.kind == "release"]
    assert len({one.call_id for one in ends}) == len(ends) == 60
    assert {(one.outcome, one.amount, one.seq) for one in ends} == {(EXPIRED, -500, 1)}
    [outcome] = ledger.commit_group([settle(event("h7"))])
    assert isinstance(outcome.error, Gone)
    assert ledger.verify().ok


CHILD = """
import sys, time
from datetime import datetime, timedelta, UTC
from pathlib import Path
from feilun.billing.holds import hold
from feilun.store import open_store
from feilun.store.ledger_records import Event

store = open_store(Path(sys.argv[1]), sys.argv[2] or None)
held = Event("killed", amount=900, customer="ann", project="p")
until = datetime.now(UTC) + timedelta(seconds=1.5)
assert store.ledger.commit_group([hold(held, until)])[0].written
print("held", flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_held_comes_back(
    any_store: Store, any_database: str | None, workspace_dir: Path
) -> None:
    child = Forked(
        [sys.executable, "-c", CHILD, str(workspace_dir), any_database or ""],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    ledger = any_store.ledger
    assert ledger.held(customer="ann") == {"USD": 900}
    deadline = datetime.now(UTC) + timedelta(seconds=60)
    while not release_expired(ledger):
        assert datetime.now(UTC) < deadline
    assert ledger.held(customer="ann") == {}
    assert [one.kind for one in ledger.events(call_id="killed")] == ["hold", "release"]
    assert ledger.usage() == []


def test_released_twice_in_words(any_store: Store) -> None:
    held = begin(any_store, "a")
    any_store.ledger.commit_group([release(held, "x")])
    with pytest.raises(Gone, match="hold of call a"):
        any_store.ledger.commit(settle(held).events)
