"""Limits in one process: rates, calls at a time, quotas, budgets; also against simple models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.billing.admission import Admission
from feilun.billing.keeper import Keeper
from feilun.billing.limiter import Limits, month_end
from feilun.billing.limits import LimitSettings
from feilun.billing.plans import parse_plan
from feilun.billing.rating import RateBook
from feilun.errors import EnvironmentProblem, QuotaExceeded, RateLimited
from feilun.store import Store, open_store
from feilun.store.ids import new_id
from feilun.store.ledger_records import Event
from feilun.store.records import ApiKey

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
PER_1000 = "1000"  # one input costs one unit of the currency


class Desk:
    """A server's limits without its server: what it lets through it puts into the ledger."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rates = RateBook(store.catalog)
        self.limits = Limits(store, self.rates)
        self.reload()

    def reload(self) -> None:
        self.rates.reload()
        self.limits.reload()

    def record(self, key: ApiKey, units: dict[str, int]) -> int:
        """A charge, as a call leaves it; what it came to."""
        rating = self.rates.rate(key.customer, "reviews", "reviews", units)
        event = Event(
            new_id("call_"),
            units=units,
            rates=rating.rates,
            price_version=rating.price_version,
            currency=rating.currency or "EUR",
            customer=key.customer,
            key_id=key.id,
            project="reviews",
            endpoint="reviews",
        )
        return sum(self.store.ledger.commit([event]).amounts)

    async def call(self, key: ApiKey, inputs: int = 1, **more: int) -> Admission:
        """A call that is answered."""
        async with Admission(self.limits, key, "reviews", "reviews", inputs) as admission:
            units = {"calls": 1, "inputs": inputs, **more}
            admission.settle(units, self.record(key, units))
        return admission


def customer(store: Store, plan: dict[str, Any] | None = None, **limits: Any) -> str:
    """A customer whose inputs cost one EUR each, unless `plan` says otherwise."""
    document = parse_plan(
        {"currency": "EUR", "rates": [{"tiers": [{"per_1000": PER_1000}]}]} | (plan or {}), "test"
    )
    made = store.catalog.add_customer("Ada").id
    name = made.lower().replace("_", "-")
    store.catalog.add_plan(name, document.stored(), "EUR", YESTERDAY)
    store.catalog.subscribe(made, name, YESTERDAY)
    if limits:
        store.catalog.set_customer(made, limits=LimitSettings(**limits).stored())
    return made


def key(store: Store, of: str, **limits: Any) -> ApiKey:
    """A key of the customer `of`."""
    secret = new_id()
    stored = LimitSettings(**limits).stored()
    return store.keys.add_key(of, secret[:10], secret, limits=stored)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(tmp_path_factory.mktemp("workspace")) as opened:
        yield opened


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


def made(desk: Desk, make: Callable[[], ApiKey]) -> ApiKey:
    """A key, after which the limits are read again."""
    found = make()
    desk.reload()
    return found


def test_without_limits_nothing_is_taken(desk: Desk) -> None:
    free = made(desk, lambda: key(desk.store, customer(desk.store)))
    admission = asyncio.run(desk.call(free))
    assert (admission.allowance(), admission.warning()) == (None, None)
    assert list(desk.limits.leases()) == []


# Rates


def test_a_bucket_lets_a_burst_through_and_then_its_rate(desk: Desk) -> None:
    fast = made(desk, lambda: key(desk.store, customer(desk.store), rate=20, burst=4))

    async def refusal(of: ApiKey) -> RateLimited:
        for _ in range(20):
            try:
                await desk.call(of)
            except RateLimited as error:
                return error
        pytest.fail("twenty calls at once, and none was refused")

    async def work() -> None:
        for left in (3, 2, 1, 0):
            admission = await desk.call(fast)
            limit, remaining, reset = admission.allowance() or (0, 0, 0.0)
            assert limit == 4
            assert remaining in (left, left + 1)  # it fills meanwhile
            assert 0 < reset <= 0.2
        for _ in range(3):
            error = await refusal(fast)
            assert (error.code, error.type) == ("billing.key_too_fast", "rate_limit_error")
            assert 0 < error.params["retry_after"] <= 0.05
            await asyncio.sleep(error.params["retry_after"] + 0.001)
            await desk.call(fast)  # the word that it gave is kept

    asyncio.run(work())


def test_a_call_that_is_refused_takes_nothing_of_the_rate(desk: Desk) -> None:
    slow = made(desk, lambda: key(desk.store, customer(desk.store), rate=0.01))

    async def work() -> None:
        await desk.call(slow)
        waits = []
        for _ in range(5):
            with pytest.raises(RateLimited) as caught:
                await desk.call(slow)
            waits.append(caught.value.params["retry_after"])
        assert all(98 < wait <= 100 for wait in waits)

    asyncio.run(work())


@given(
    rate=st.floats(0.5, 50),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 2), max_size=60),
)
def test_the_bucket_against_a_bucket(rate: float, burst: int, gaps: list[float]) -> None:
    """As a bucket into which tokens drip; times are told, so that nothing waits."""
    from feilun.billing import leases

    clock = [100.0]
    bucket = leases.Bucket(leases.Sharing(None, lambda: ""), "b", rate, burst)  # type: ignore[arg-type]
    tokens, last = float(burst), clock[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases, "monotonic", lambda: clock[0])
        for gap in gaps:
            clock[0] += gap
            tokens = min(burst, tokens + (clock[0] - last) * rate)
            last = clock[0]
            if abs(tokens - 1) < 1e-6:  # too close to call for floats
                tokens = 1.0
            assert abs(bucket.remaining - int(tokens + 1e-6)) <= (
                abs(tokens - round(tokens)) < 1e-4
            )
            wait = bucket.take()
            if tokens >= 1:
                assert wait == 0
                tokens -= 1
            else:
                assert wait == pytest.approx((1 - tokens) / rate, abs=1e-6)


# Calls at a time


def test_calls_at_a_time_and_every_way_out(desk: Desk) -> None:
    narrow = made(desk, lambda: key(desk.store, customer(desk.store), concurrency=2))

    async def hold(done: asyncio.Event, how: str) -> None:
        async with Admission(desk.limits, narrow, "reviews", "reviews", 1):
            await done.wait()
            if how == "error":
                raise ValueError(how)

    async def work() -> None:
        for how in ("answered", "error", "cancelled"):
            done = asyncio.Event()
            running = [asyncio.create_task(hold(done, how)) for _ in range(2)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            with pytest.raises(RateLimited) as caught:
                await desk.call(narrow)
            assert caught.value.code == "billing.key_too_many_at_once"
            assert caught.value.params["limit"] == 2
            if how == "cancelled":
                for task in running:
                    task.cancel()
            done.set()
            await asyncio.gather(*running, return_exceptions=True)
            await desk.call(narrow)
        assert [lease.pending for lease in desk.limits.leases()] == [0]

    asyncio.run(work())


def test_the_customer_s_limits_hold_for_all_its_keys(desk: Desk) -> None:
    of = customer(desk.store, {"limits": {"concurrency": 1}}, concurrency=5)
    one, two = key(desk.store, of), made(desk, lambda: key(desk.store, of))

    async def work() -> None:
        async with Admission(desk.limits, one, "reviews", "reviews", 1):
            with pytest.raises(RateLimited) as caught:
                await desk.call(two)
            assert caught.value.code == "billing.customer_too_many_at_once"

    asyncio.run(work())


# Quotas and budgets


def test_a_rotated_key_goes_on_where_the_old_one_was(desk: Desk) -> None:
    """Otherwise whoever has a key changed gets the month's quota and budget twice."""
    store = desk.store
    of = customer(store)
    old = made(desk, lambda: key(store, of, monthly_inputs=10, monthly_budget="8.00"))

    async def use() -> None:
        await desk.call(old, 3)
        _, new = store.keys.rotate_key(old.id, "fl_new", new_id(), overlap=timedelta(hours=1))
        desk.reload()
        old_now, new_now = store.keys.keys(of)
        assert (new_now.id, new_now.line) == (new.id, (old.id, new.id))
        await desk.call(new_now, 3)
        await desk.call(old_now, 1)  # both work for an hour, on one account
        with pytest.raises(QuotaExceeded):
            await desk.call(new_now, 2)  # a budget of 8.00, of which 7 are used
        _, third = store.keys.rotate_key(new.id, "fl_third", new_id(), overlap=timedelta(0))
        desk.reload()
        newest = store.keys.keys(of)[-1]
        assert newest.line == (old.id, new.id, third.id)
        with pytest.raises(QuotaExceeded):
            await desk.call(newest, 2)
        await desk.call(newest, 1)

    asyncio.run(use())


def test_a_quota_of_inputs(desk: Desk) -> None:
    limited = made(desk, lambda: key(desk.store, customer(desk.store), monthly_inputs=10))

    async def work() -> None:
        await desk.call(limited, 7)
        with pytest.raises(QuotaExceeded) as caught:
            await desk.call(limited, 4)
        error = caught.value
        assert (error.code, error.type, error.status) == (
            "billing.key_quota_used",
            "insufficient_quota",
            429,
        )
        assert "10 inputs a month; 7 are used, and 4 more do not fit" in error.message()
        left = (month_end(datetime.now(UTC)) - datetime.now(UTC)).total_seconds()
        assert error.params["retry_after"] == pytest.approx(left, abs=5)
        await desk.call(limited, 3)
        with pytest.raises(QuotaExceeded):
            await desk.call(limited, 1)

    asyncio.run(work())


def test_a_call_that_failed_gives_back(desk: Desk) -> None:
    limited = made(
        desk, lambda: key(desk.store, customer(desk.store), monthly_inputs=5, monthly_budget="5")
    )

    async def work() -> None:
        for _ in range(3):
            with pytest.raises(ValueError, match="engine"):
                async with Admission(desk.limits, limited, "reviews", "reviews", 5):
                    raise ValueError("engine")
        await desk.call(limited, 5)
        assert {lease.pending for lease in desk.limits.leases()} == {0}

    asyncio.run(work())


def test_a_budget_is_exact_and_a_warning_comes_before_it(desk: Desk) -> None:
    limited = made(
        desk, lambda: key(desk.store, customer(desk.store), monthly_budget="10", warn_at="8")
    )

    async def work() -> None:
        warnings = [(await desk.call(limited)).warning() for _ in range(10)]
        assert warnings[:7] == [None] * 7
        assert warnings[7] == "used=8.00; warn_at=8; limit=10; currency=EUR; of=key"
        assert warnings[9] is not None
        with pytest.raises(
            QuotaExceeded, match=r"may spend 10 EUR a month; 10\.00 are spent, and 1\.00"
        ):
            await desk.call(limited)

    asyncio.run(work())


def test_a_warning_without_a_budget(desk: Desk) -> None:
    watched = made(desk, lambda: key(desk.store, customer(desk.store), warn_at="2"))

    async def work() -> list[str | None]:
        return [(await desk.call(watched)).warning() for _ in range(4)]

    assert asyncio.run(work()) == [
        None,
        *(f"used={n}.00; warn_at=2; currency=EUR; of=key" for n in (2, 3, 4)),
    ]


def test_a_free_tier_that_stops_where_it_ends(desk: Desk) -> None:
    """Included units cost nothing, and a budget of nothing lets exactly them through."""
    tiers = {"rates": [{"included": 5, "tiers": [{"per_1000": "2"}]}]}
    free = made(desk, lambda: key(desk.store, customer(desk.store, tiers), monthly_budget="0"))

    async def work() -> None:
        for _ in range(5):
            await desk.call(free)
        with pytest.raises(QuotaExceeded):
            await desk.call(free)

    asyncio.run(work())


def test_units_that_are_known_afterwards(desk: Desk) -> None:
    """Tokens are taken to be what they were of late; what a budget is overrun by is one call."""
    tokens = {"rates": [{"unit": "tokens", "tiers": [{"per_1000": "100"}]}]}
    limited = made(desk, lambda: key(desk.store, customer(desk.store, tokens), monthly_budget="5"))

    async def work() -> int:
        for count in range(99):
            try:
                await desk.call(limited, tokens=10)
            except QuotaExceeded:
                return count
        return 99

    # 10 tokens cost one: five calls, as the first taught what a call uses.
    assert asyncio.run(work()) == 5


def test_a_server_that_was_restarted_remembers(desk: Desk) -> None:
    limited = made(
        desk, lambda: key(desk.store, customer(desk.store), monthly_inputs=9, monthly_budget="7")
    )
    asyncio.run(desk.call(limited, 6))
    again = Desk(desk.store)
    with pytest.raises(QuotaExceeded) as caught:
        asyncio.run(again.call(limited, 4))
    assert caught.value.code == "billing.key_quota_used"
    with pytest.raises(QuotaExceeded) as caught:
        asyncio.run(again.call(limited, 2))
    assert caught.value.code == "billing.key_budget_used"


def test_an_open_hold_counts_against_a_budget(desk: Desk) -> None:
    of = customer(desk.store)
    limited = made(desk, lambda: key(desk.store, of, monthly_budget="10"))
    hold = Event(
        new_id("call_"),
        kind="hold",
        amount=8_000_000,
        currency="EUR",
        customer=of,
        key_id=limited.id,
        project="reviews",
    )
    desk.store.ledger.commit([hold])
    with pytest.raises(QuotaExceeded):
        asyncio.run(desk.call(limited, 3))
    asyncio.run(desk.call(limited, 2))


def test_what_a_person_gave_back_is_no_room_in_a_budget(desk: Desk) -> None:
    from feilun.billing.credits import give_credit

    of = customer(desk.store)
    limited = made(desk, lambda: key(desk.store, of, monthly_budget="3"))
    asyncio.run(desk.call(limited, 3))
    give_credit(desk.store, of, 3_000_000, "goodwill", currency="EUR")
    with pytest.raises(QuotaExceeded):
        asyncio.run(Desk(desk.store).call(limited, 1))


def test_limits_that_are_changed_hold_at_once(desk: Desk) -> None:
    of = customer(desk.store, monthly_inputs=2)
    limited = made(desk, lambda: key(desk.store, of))
    asyncio.run(desk.call(limited, 2))
    with pytest.raises(QuotaExceeded):
        asyncio.run(desk.call(limited, 1))
    desk.store.catalog.set_customer(of, limits={"monthly_inputs": 5})
    desk.reload()
    asyncio.run(desk.call(limited, 3))
    desk.store.catalog.set_customer(of, limits={"monthly_inputs": 4})
    desk.reload()
    with pytest.raises(QuotaExceeded):
        asyncio.run(desk.call(limited, 1))


def test_when_the_database_is_away_nothing_is_given_away(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = made(desk, lambda: key(desk.store, customer(desk.store), monthly_inputs=1000))

    def away(*_: Any, **__: Any) -> None:
        raise EnvironmentProblem("store.database_unreachable", url="x", reason="y")

    async def work() -> None:
        await desk.call(limited, 1)  # takes a slice of ten
        monkeypatch.setattr(desk.store.allowances, "lease", away)
        for _ in range(9):
            await desk.call(limited, 1)
        with pytest.raises(EnvironmentProblem):
            await desk.call(limited, 1)
        monkeypatch.undo()
        await desk.call(limited, 1)

    asyncio.run(work())


def test_the_keeper_gives_back_what_nobody_uses(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feilun.billing.leases.IDLE_SECONDS", 0.0)
    limited = made(desk, lambda: key(desk.store, customer(desk.store), monthly_inputs=1000))

    async def work() -> None:
        keeper = Keeper(desk.limits, desk.store, pause=60)
        await keeper.start()
        await desk.call(limited, 1)
        (lease,) = desk.limits.leases()
        assert lease.holds
        await asyncio.sleep(0.01)
        await keeper.turn()
        assert not lease.holds
        await desk.call(limited, 1)
        assert lease.holds
        await keeper.stop()
        assert not lease.holds

    asyncio.run(work())


# Against a model

STEPS = st.lists(
    st.tuples(st.integers(1, 40), st.sampled_from(["answer", "fail", "begin", "end", "drop"])),
    max_size=25,
)


@settings(max_examples=25)
@given(steps=STEPS, quota=st.integers(0, 150), budget=st.integers(0, 150), free=st.integers(0, 20))
def test_quotas_and_budgets_against_a_model(
    store: Store, steps: list[tuple[int, str]], quota: int, budget: int, free: int
) -> None:
    """Calls that succeed, fail, overlap: the limiter lets through what plain sums would.

    With one exception, in money alone: a call is priced where the month stands when it begins, and
    on record where it stands when it ends. At the end of an included volume calls that run may then
    cost more than was taken for them, so a budget may be passed by what they can cost at most.
    """
    rates = {"rates": [{"included": free, "tiers": [{"per_1000": PER_1000}]}] if free else None}
    plan = {name: value for name, value in rates.items() if value}
    of = customer(store, plan, monthly_inputs=quota)
    limited = key(store, of, monthly_budget=str(budget))
    desk = Desk(store)

    async def work() -> None:
        used = 0
        open_: list[tuple[int, Admission]] = []
        for inputs, what in steps:
            if what in ("end", "drop"):
                if not open_:
                    continue
                count, admission = open_.pop(0)
                if what == "end":
                    units = {"calls": 1, "inputs": count}
                    admission.settle(units, desk.record(limited, units))
                    used += count
                await admission.__aexit__(None, None, None)
                continue
            running = sum(count for count, _ in open_)
            cost = max(0, used + running + inputs - free)
            fits = used + running + inputs <= quota and cost <= budget
            admission = Admission(desk.limits, limited, "reviews", "reviews", inputs)
            for lease in desk.limits.leases():
                lease._refused_until = 0.0  # nobody waits half a second here
            try:
                await admission.__aenter__()
            except QuotaExceeded:
                assert not fits
                continue
            assert fits or (used + running + inputs <= quota and cost <= budget + running)
            if what == "begin":
                open_.append((inputs, admission))
                continue
            if what == "answer":
                units = {"calls": 1, "inputs": inputs}
                admission.settle(units, desk.record(limited, units))
                used += inputs
            await admission.__aexit__(None, None, None)
        for _, admission in open_:
            await admission.__aexit__(None, None, None)
        assert all(lease.pending == 0 for lease in desk.limits.leases())

    asyncio.run(work())
