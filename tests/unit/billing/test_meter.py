"""The meter: nobody is told before the commit, groups share one, a bad row harms only itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from feilun.billing.meter import Meter
from feilun.errors import Conflict, EnvironmentProblem
from feilun.store.ledger_records import CallOutcome, Event, LedgerCall


class Ledger:
    """A ledger that notes each commit, and can be told to wait or to fail."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.entered = threading.Event()
        self.away = False

    def commit_group(self, calls: Sequence[LedgerCall]) -> list[CallOutcome]:
        self.entered.set()
        self.may_go.wait(10)
        if self.away:
            raise EnvironmentProblem("store.database_busy", path="ledger.db", seconds=30)
        names = [event.call_id for call in calls for event in call.events]
        if "bad" in names:
            raise Conflict("store.call_on_record", calls=names)
        self.commits.append(names)
        return [CallOutcome((0,), datetime.now(UTC)) for _ in calls]

    def outcomes(self, call_ids: Sequence[str]) -> dict[str, CallOutcome]:
        return {}


def call(name: str) -> LedgerCall:
    return LedgerCall([Event(name)])


@contextmanager
def metering(ledger: Ledger) -> Iterator[Meter]:
    meter = Meter(ledger)
    try:
        yield meter
    finally:
        ledger.may_go.set()
        meter.close()


def test_a_call_returns_only_after_its_commit() -> None:
    ledger = Ledger()
    ledger.may_go.clear()

    async def run(meter: Meter) -> None:
        task = asyncio.create_task(meter.record(call("one")))
        await asyncio.to_thread(ledger.entered.wait, 10)
        await asyncio.sleep(0.05)
        assert not task.done()
        ledger.may_go.set()
        await task

    with metering(ledger) as meter:
        asyncio.run(run(meter))
    assert ledger.commits == [["one"]]


def test_calls_that_gather_during_a_commit_share_the_next() -> None:
    ledger = Ledger()
    ledger.may_go.clear()

    async def run(meter: Meter) -> None:
        first = asyncio.create_task(meter.record(call("first")))
        await asyncio.to_thread(ledger.entered.wait, 10)
        rest = [asyncio.create_task(meter.record(call(str(n)))) for n in range(20)]
        await asyncio.sleep(0.02)
        ledger.may_go.set()
        await asyncio.gather(first, *rest)

    with metering(ledger) as meter:
        asyncio.run(run(meter))
    assert [len(group) for group in ledger.commits] == [1, 20]


def test_a_bad_row_harms_only_its_own_call() -> None:
    ledger = Ledger()
    ledger.may_go.clear()

    async def run(meter: Meter) -> list[object]:
        names = ["a", "bad", "b"]
        tasks = [asyncio.create_task(meter.record(call(name))) for name in names]
        await asyncio.to_thread(ledger.entered.wait, 10)
        ledger.may_go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    with metering(ledger) as meter:
        results = asyncio.run(run(meter))
    assert [type(result) for result in results] == [CallOutcome, Conflict, CallOutcome]
    assert sorted(name for group in ledger.commits for name in group) == ["a", "b"]


def test_when_the_database_is_away_every_caller_is_told_and_later_calls_go_on() -> None:
    ledger = Ledger()
    ledger.away = True

    async def run(meter: Meter) -> None:
        results = await asyncio.gather(
            *(meter.record(call(str(n))) for n in range(3)), return_exceptions=True
        )
        assert all(isinstance(result, EnvironmentProblem) for result in results)
        ledger.away = False
        await meter.record(call("later"))

    with metering(ledger) as meter:
        asyncio.run(run(meter))
    assert ledger.commits == [["later"]]


def test_a_cancelled_call_is_committed_all_the_same() -> None:
    ledger = Ledger()
    ledger.may_go.clear()

    async def run(meter: Meter) -> None:
        task = asyncio.create_task(meter.record(call("gone")))
        await asyncio.to_thread(ledger.entered.wait, 10)
        task.cancel()
        ledger.may_go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await meter.record(call("next"))

    with metering(ledger) as meter:
        asyncio.run(run(meter))
    assert ledger.commits == [["gone"], ["next"]]


def test_a_closed_meter_takes_no_more_calls() -> None:
    meter = Meter(Ledger())
    meter.close()
    meter.close()
    with pytest.raises(EnvironmentProblem):
        asyncio.run(meter.record(call("late")))
