"""Several processes share one limit: what they take together, and what one that dies leaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from feilun.billing.leases import SLICES, Bucket, Lease, Sharing
from feilun.billing.prepaid import record_topup
from feilun.store import Store
from feilun.store.ledger_allowances import Counted
from feilun.store.ledger_records import Event
from helpers.forked import Forked
from helpers.processes import finish, kill, start, wait_for

MONTH = f"{time.gmtime().tm_year}-{time.gmtime().tm_mon:02d}"
PROCESSES = 3

HAMMER = """
    import asyncio, json, os, sys, time
    from pathlib import Path
    from feilun.billing.limiter import Limits
    from feilun.billing.admission import Admission
    from feilun.billing.rating import RateBook
    from feilun.errors import PaymentRequired, RateLimited
    from feilun.store import open_store
    from feilun.store.ids import new_id
    from feilun.store.ledger_records import Event

    folder, url, key_id, seconds, gate, until = sys.argv[1:7]
    store = open_store(Path(folder), url or None)
    rates = RateBook(store.catalog)
    limits = Limits(store, rates)
    rates.reload()
    limits.reload()
    limits.sharing.others = True
    [key] = [key for key in store.catalog.keys() if key.id == key_id]
    Path(gate, f"ready-{os.getpid()}").touch()
    while not Path(gate, "open").exists():
        time.sleep(0.01)
    begin = time.time()
    found = {"answered": 0, "refused": 0, "inputs": 0, "spans": []}
    answered = time.time()

    def over():
        # After the time; with until=refused when nothing was answered for a while besides.
        now = time.time()
        return now > begin + float(seconds) and (until == "time" or now > answered + 2)

    async def caller(number):
        global answered
        while not over():
            inputs = 1 + (number % 3)
            try:
                async with Admission(limits, key, "reviews", "reviews", inputs) as admission:
                    entered = time.time()
                    try:
                        units = {"calls": 1, "inputs": inputs}
                        rating = rates.rate(key.customer, "reviews", "reviews", units)
                        event = Event(
                            new_id("call_"), units=units, rates=rating.rates, customer=key.customer,
                            key_id=key.id, currency="EUR", price_version=rating.price_version,
                            project="reviews")
                        amounts = (await asyncio.to_thread(store.ledger.commit, [event])).amounts
                        admission.settle(units, sum(amounts))
                    finally:
                        found["spans"].append((entered, time.time()))
                found["answered"] += 1
                answered = time.time()
                found["inputs"] += inputs
            except (PaymentRequired, RateLimited) as error:
                found["refused"] += 1
                await asyncio.sleep(0.01)

    async def main():
        await asyncio.gather(*(caller(number) for number in range(6)))
        if len(sys.argv) > 7:
            Path(sys.argv[7]).touch()
            await asyncio.sleep(300)
        await asyncio.to_thread(store.allowances.release, store.ledger.writer)

    asyncio.run(main())
    store.close()
    print(json.dumps(found))
"""


@pytest.fixture
def plan(any_store: Store) -> str:
    """A customer; an input costs it one EUR."""
    from feilun.billing.plans import parse_plan, set_plan, subscribe

    tiers = {"rates": [{"tiers": [{"per_1000": "1000"}]}]}
    set_plan(any_store.catalog, "flat", parse_plan({"currency": "EUR", **tiers}, "test"))
    ada = any_store.catalog.add_customer("Ada").id
    subscribe(any_store.catalog, ada, "flat")
    return ada


def hammer(
    store: Store,
    folder: Path,
    database: str | None,
    ada: str,
    seconds: float,
    until: str = "time",
    **limits: object,
) -> list[dict[str, Any]]:
    """`PROCESSES` processes with six callers each, all at one key, for some seconds, and on `until`
    they are ``refused``."""
    key = store.catalog.add_key(ada, "fl_", "ab" * 32, limits=limits)
    gate = folder / "gate"
    gate.mkdir()
    started = [
        start(HAMMER, folder, database or "", key.id, seconds, gate, until)
        for _ in range(PROCESSES)
    ]
    open_gate(gate, started)
    return [json.loads(line) for line in finish(started)]


def shares(found: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Of each process the calls that were answered and refused."""
    return [(one["answered"], one["refused"]) for one in found]


def open_gate(gate: Path, started: list[Forked]) -> None:
    """Lets the processes begin at once, when all of them are ready."""
    while len(list(gate.glob("ready-*"))) < len(started):
        assert all(process.poll() is None for process in started), finish(started)
        time.sleep(0.01)
    (gate / "open").touch()


@pytest.mark.slow
def test_processes_share_one_budget(
    any_store: Store, workspace_dir: Path, any_database: str | None, plan: str
) -> None:
    budget = 200
    found = hammer(
        any_store, workspace_dir, any_database, plan, 1, "refused", monthly_budget=str(budget)
    )
    (usage,) = any_store.ledger.usage(customer=plan)
    spent, slice_ = usage.amount / 1e6, max(3, budget / SLICES)
    print(
        f"{spent:.0f} of {budget} spent by {PROCESSES} processes; overshoot {spent - budget:+.0f}"
    )
    print(f"allowed: {PROCESSES} x {slice_:.0f}; {shares(found)}")
    assert spent == sum(one["inputs"] for one in found)
    assert spent <= budget + PROCESSES * slice_
    # More than is promised: what is priced by calls and inputs never goes beyond, and what the
    # last ones could not use is less than their slices.
    assert budget - PROCESSES * slice_ <= spent <= budget
    assert all(one["refused"] for one in found)


def test_processes_spend_one_balance_to_nothing(
    any_store: Store, workspace_dir: Path, any_database: str | None, plan: str
) -> None:
    """What was paid beforehand is spent, never more: what calls and inputs cost is known before."""
    paid = 150
    record_topup(any_store, plan, paid * 1_000_000, currency="EUR")
    found = hammer(any_store, workspace_dir, any_database, plan, 1, "refused", prepaid=True)
    account = any_store.allowances.accounts(plan)["EUR"]
    spent = account.drawn / 1e6
    print(f"{spent:.0f} of {paid} spent by {PROCESSES} processes; {shares(found)}")
    assert spent == sum(one["inputs"] for one in found)
    assert 0 <= account.left <= PROCESSES * 3 * 1_000_000
    assert all(one["refused"] for one in found)


@pytest.mark.slow
def test_processes_share_one_rate(
    any_store: Store, workspace_dir: Path, any_database: str | None, plan: str
) -> None:
    rate, burst, seconds = 30, 10, 2
    found = hammer(any_store, workspace_dir, any_database, plan, seconds, rate=rate, burst=burst)
    slice_ = max(1, round(rate * 0.2))
    answered = sum(one["answered"] for one in found)
    allowed = burst + rate * seconds
    print(f"{answered} of {allowed} calls in {seconds} s by {PROCESSES} processes; {shares(found)}")
    assert answered <= allowed + PROCESSES * slice_
    assert answered >= burst + rate  # a crowded machine asks late


@pytest.mark.slow
def test_processes_share_calls_at_a_time(
    any_store: Store, workspace_dir: Path, any_database: str | None, plan: str
) -> None:
    found = hammer(any_store, workspace_dir, any_database, plan, 1, concurrency=4)
    # +1 where a call begins, -1 where one ends; of a moment the ends first.
    spans = [span for one in found for span in one["spans"]]
    turns = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    running = list(accumulate(step for _, step in turns))
    print(f"{max(running)} of 4 calls at a time by {PROCESSES} processes")
    assert 1 < max(running) <= 4


def test_what_a_killed_process_held_comes_back(
    any_store: Store,
    workspace_dir: Path,
    any_database: str | None,
    plan: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing that was answered is forgotten, nothing that was only held stays taken."""
    key = any_store.catalog.add_key(plan, "fl_", "ab" * 32, limits={"monthly_inputs": 600})
    (tmp_path / "open").touch()
    ready = tmp_path / "used"
    holder = start(HAMMER, workspace_dir, any_database or "", key.id, 0.3, tmp_path, "time", ready)
    wait_for(ready, holder)
    kill(holder)
    counted = Counted(plan, MONTH, (key.id,))
    used = any_store.allowances.spent(counted)
    assert used > 0

    def room() -> int:
        name = f"inputs:key:{key.id}:{MONTH}"
        return any_store.allowances.lease(
            name, "me", holding=0, want=600, limit=600, counted=counted
        ).granted

    held = 600 - used - room()
    # A slice at most, and what was being answered, is out of reach …
    assert 0 <= held <= 600 // SLICES + 6 * 3
    monkeypatch.setattr("feilun.store.ledger_allowances.FRESH_SECONDS", 0.0)
    assert room() == 600 - used  # … until it is no longer fresh


def test_a_share_that_was_not_renewed_is_not_used(
    any_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("feilun.billing.leases.monotonic", lambda: clock[0])
    sharing = Sharing(any_store.allowances, lambda: "one")
    lease = Lease(sharing, "inputs:x", 1000, Counted("ada", MONTH))

    async def work() -> None:
        assert not lease.take(1)
        assert await lease.ask(1)
        assert lease.take(1)
        clock[0] += 19
        assert lease.take(1)
        clock[0] += 2
        assert not lease.take(1)
        assert await lease.ask(1)
        lease.renewed(clock[0] + 15, "one")
        clock[0] += 30
        assert lease.take(1)
        lease.renewed(clock[0] + 15, "another")  # not this one's slice
        clock[0] += 30
        assert not lease.take(1)

    asyncio.run(work())


def test_a_slice_lasts_and_the_rest_stays_with_the_limit(any_store: Store) -> None:
    allowances = any_store.allowances
    asked: list[int] = []
    lease_of = allowances.lease

    def counting(*args: object, **named: int) -> object:
        asked.append(named["want"])
        return lease_of(*args, **named)  # type: ignore[arg-type]

    allowances.lease = counting  # type: ignore[assignment, method-assign]
    one = Lease(Sharing(allowances, lambda: "one"), "inputs:x", 1000, Counted("ada", MONTH))
    two = Lease(Sharing(allowances, lambda: "two"), "inputs:x", 1000, Counted("ada", MONTH))

    async def work() -> None:
        for _ in range(10):
            assert one.take(1) or await one.ask(1)
        assert asked == [10]
        assert await one.ask(500)
        assert not await two.ask(491)
        assert await two.ask(480)
        assert one.pending + two.pending == 990

    asyncio.run(work())


def test_who_asks_is_not_refused_because_others_took_meanwhile(lite: Store) -> None:
    allowances = lite.allowances
    lease_of = allowances.lease

    def slow(*args: object, **named: object) -> object:
        time.sleep(0.05)
        return lease_of(*args, **named)  # type: ignore[arg-type]

    lease = Lease(Sharing(allowances, lambda: "one"), "inputs:x", 300, Counted("ada", MONTH))

    async def work() -> None:
        assert await lease.ask(2)  # one of a slice of three is left
        allowances.lease = slow  # type: ignore[assignment, method-assign]
        large = asyncio.create_task(lease.ask(3))
        await asyncio.sleep(0.01)
        assert lease.take(1)
        assert await large
        assert lease.pending == 6

    asyncio.run(work())


def test_a_writer_with_a_new_name_keeps_what_it_used(any_store: Store) -> None:
    writer = ["one"]
    lease = Lease(
        Sharing(any_store.allowances, lambda: writer[0]), "inputs:x", 20, Counted("ada", MONTH)
    )

    async def work() -> None:
        assert await lease.ask(5)
        event = Event("c", units={"calls": 1, "inputs": 5}, customer="ada", project="reviews")
        any_store.ledger.commit([event])
        lease.settle(5, 5)
        writer[0] = any_store.ledger.writer
        lease.lapse()
        assert await lease.ask(10)
        assert not lease.take(6)

    asyncio.run(work())


def test_a_shared_bucket_tells_when(any_store: Store) -> None:
    sharing = Sharing(any_store.allowances, lambda: "one")
    sharing.others = True
    one, two = (Bucket(sharing, "rate:x", 2, 3) for _ in range(2))

    async def work() -> None:
        assert [await one.ask(), await two.ask(), await one.ask()] == [0, 0, 0]
        wait = await two.ask()
        assert 0 < wait <= 0.5
        assert two.remaining == 0
        assert 1 < two.full_in <= 1.5
        await asyncio.sleep(wait + 0.01)
        assert await one.ask() == 0

    asyncio.run(work())


def test_what_is_old_is_forgotten(any_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from feilun.store.columns import now

    allowances = any_store.allowances
    with monkeypatch.context() as patch:
        patch.setattr("feilun.store.ledger_allowances.now", lambda: now() - timedelta(days=2))
        allowances.lease("slots:x", "old", holding=0, want=1, limit=1)
    allowances.lease("slots:y", "two", holding=0, want=1, limit=1)
    allowances.lease("slots:y", "one", holding=0, want=1, limit=2)
    assert allowances.renew("old") == frozenset()
    assert allowances.renew("one") == {"slots:y"}
    allowances.release("one")
    assert allowances.renew("one") == frozenset()
    assert allowances.renew("two") == {"slots:y"}
    assert allowances.lease("slots:x", "new", holding=0, want=1, limit=1).granted == 1


def test_opening_a_store_twice_shares(open_any: Callable[[], Store]) -> None:
    first, second = open_any(), open_any()
    counted = Counted("ada", MONTH)
    options = {"holding": 0, "limit": 10, "counted": counted}
    assert first.allowances.lease("x", "one", want=6, **options).granted == 6  # type: ignore[arg-type]
    assert second.allowances.lease("x", "two", want=6, **options).granted == 4  # type: ignore[arg-type]
