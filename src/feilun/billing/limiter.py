"""Holds every call to the limits of its key, its customer and its customer's plan.

    async with limits.enter(key, project, endpoint, inputs) as passage:
        ...                      # the engine answers, the ledger writes
        passage.settle(units)

Entering takes what the call needs: a call of the rate, a place among those that run, inputs of the
month's quota, money of the month's budget. Without `settle` leaving gives back what was taken, but
for the rate: a call that failed was a call. What a call costs is known before it runs where calls
or inputs are priced; other units are taken to be what calls to the endpoint used of late, and put
right when it is on record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

from feilun.billing.currency import exact_text
from feilun.billing.leases import Bucket, Lease, Sharing
from feilun.billing.limits import LimitSettings, tightest
from feilun.billing.rating import Line, RateBook
from feilun.errors import QuotaExceeded, RateLimited
from feilun.store.catalog import Catalog
from feilun.store.ledger_allowances import Counted
from feilun.store.records import ApiKey
from feilun.store.store import Store

__all__ = ["Limits", "Passage", "month_end"]

Whose = Literal["key", "customer"]


def month_end(moment: datetime) -> datetime:
    """The first moment of the next month, in UTC."""
    year, month = moment.year + moment.month // 12, moment.month % 12 + 1
    return datetime(year, month, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Gate:
    """The limits of one key or one customer, and the shares of them."""

    whose: Whose
    settings: LimitSettings
    counted: Counted
    bucket: Bucket | None
    slots: Lease | None
    quota: Lease | None
    budgets: dict[str, Lease] = field(default_factory=dict)


@dataclass(slots=True)
class _Rules:
    """All that holds for a key until `until`."""

    gates: tuple[_Gate, ...]
    until: datetime


class Limits:
    """The limits of one server. On the event loop's thread alone, but for `reload`."""

    def __init__(self, store: Store, rates: RateBook) -> None:
        self._catalog: Catalog = store.catalog
        self._allowances = store.allowances
        self._rates = rates
        self.sharing = Sharing(store.allowances, lambda: store.ledger.writer)
        self._customers: Mapping[str, LimitSettings] = {}
        self._rules: dict[str, _Rules] = {}
        self._buckets: dict[str, Bucket] = {}
        self._leases: dict[str, Lease] = {}
        # How far each customer has come this month on each line of its prices.
        self._volumes: dict[tuple[str, str], dict[str, int]] = {}
        # What one input of late used at an endpoint, of units that are not known beforehand.
        self.usual: dict[tuple[str, str], float] = {}

    def reload(self) -> None:
        """Reads the customers' limits again; comes after `RateBook.reload`. Raises
        `EnvironmentProblem` when the catalog cannot be read."""
        self._customers = {
            customer.id: LimitSettings.model_validate(customer.limits)
            for customer in self._catalog.customers()
            if customer.limits
        }
        self._rules = {}

    def enter(self, key: ApiKey, project: str, endpoint: str, inputs: int) -> Passage:
        """One call's way through the limits: ``async with`` it."""
        return Passage(self, key, project, endpoint, inputs)

    def leases(self) -> Iterator[Lease]:
        """Every share that this server may hold."""
        yield from self._leases.values()

    def forget(self, month: str) -> None:
        """Forgets shares of other months than `month` that no call uses any more."""
        for name, lease in list(self._leases.items()):
            old = lease.counted is not None and lease.counted.month != month
            if old and not lease.pending and not lease.holds:
                del self._leases[name]
        for held in [held for held in self._volumes if held[1] != month]:
            del self._volumes[held]

    def gates(self, key: ApiKey) -> tuple[_Gate, ...]:
        """What holds for `key` now."""
        now = datetime.now(UTC)
        known = self._rules
        rules = known.get(key.id)
        if rules is None or now >= rules.until:
            rules = known[key.id] = self._compile(key, now)
        return rules.gates

    def budget(self, gate: _Gate, currency: str) -> Lease | None:
        """The share of a gate's budget in `currency`; None where there is neither a budget nor a
        warning."""
        settings = gate.settings
        if settings.budget is None and settings.warning is None:
            return None
        lease = gate.budgets.get(currency)
        if lease is None:
            counted = Counted(
                gate.counted.customer, gate.counted.month, gate.counted.key_id, currency
            )
            name = f"budget:{_subject(gate.counted)}:{counted.month}:{currency}"
            slice_ = max(1, (settings.warning or 0) // 100) if settings.budget is None else None
            lease = gate.budgets[currency] = self._lease(name, settings.budget, counted, slice_)
        return lease

    async def volumes(self, customer: str, month: str, again: bool) -> dict[str, int]:
        """How far `customer` has come in `month`, by line; read when first asked for, or
        `again`."""
        held = self._volumes.get((customer, month))
        if held is None or again:
            read = await asyncio.to_thread(self._allowances.volumes, customer, month)
            held = self._volumes.setdefault((customer, month), {})
            for line, units in read.items():
                held[line] = max(units, held.get(line, 0))
        return held

    def _compile(self, key: ApiKey, now: datetime) -> _Rules:
        month = f"{now:%Y-%m}"
        version = self._rates.plan_of(key.customer, now)
        of_customer = [self._customers.get(key.customer, LimitSettings())]
        if version is not None:
            of_customer.append(version.plan.limits)
        found = (
            ("key", LimitSettings.model_validate(key.limits), Counted(key.customer, month, key.id)),
            ("customer", tightest(of_customer), Counted(key.customer, month)),
        )
        gates = tuple(
            self._gate(whose, settings, counted)
            for whose, settings, counted in found
            if settings != LimitSettings()
        )
        return _Rules(gates, min(month_end(now), self._rates.until(key.customer, now)))

    def _gate(self, whose: Any, settings: LimitSettings, counted: Counted) -> _Gate:
        subject = _subject(counted)
        bucket = slots = quota = None
        if settings.rate is not None:
            bucket = self._buckets.get(subject)
            if bucket is None:
                name = f"rate:{subject}"
                bucket = Bucket(self.sharing, name, settings.rate, settings.calls_at_once)
                self._buckets[subject] = bucket
            bucket.rate, bucket.burst = settings.rate, settings.calls_at_once
        if settings.concurrency is not None:
            slots = self._lease(f"slots:{subject}", settings.concurrency)
        if settings.monthly_inputs is not None:
            name = f"inputs:{subject}:{counted.month}"
            quota = self._lease(name, settings.monthly_inputs, counted)
        return _Gate(whose, settings, counted, bucket, slots, quota)

    def _lease(
        self,
        name: str,
        limit: int | None,
        counted: Counted | None = None,
        slice: int | None = None,
    ) -> Lease:
        lease = self._leases.get(name)
        if lease is None:
            lease = self._leases[name] = Lease(self.sharing, name, limit, counted)
        if (lease.limit, lease.slice) != (limit, slice):
            lease.lapse()  # what was taken of the old limit need not be there of the new one
            lease.limit, lease.slice = limit, slice
        return lease


def _subject(counted: Counted) -> str:
    return f"key:{counted.key_id}" if counted.key_id else f"customer:{counted.customer}"


class Passage:
    """One call's way through the limits. `warning` is what the answer says of a budget that is
    nearly used up, None where there is nothing to say."""

    __slots__ = (
        "_endpoint",
        "_gates",
        "_inputs",
        "_key",
        "_limits",
        "_lines",
        "_money",
        "_project",
        "_quotas",
        "_slots",
        "_units",
        "_volumes",
    )

    def __init__(
        self, limits: Limits, key: ApiKey, project: str, endpoint: str, inputs: int
    ) -> None:
        self._limits = limits
        self._key = key
        self._project = project
        self._endpoint = endpoint
        self._inputs = inputs
        self._gates: tuple[_Gate, ...] = ()
        self._slots: list[Lease] = []
        self._quotas: list[Lease] = []
        self._money: list[tuple[_Gate, Lease, int]] = []
        self._lines: tuple[Line, ...] = ()
        self._units: dict[str, int] = {}
        self._volumes: dict[str, int] | None = None

    async def __aenter__(self) -> Self:
        """Raises `RateLimited` or `QuotaExceeded` with what was exceeded and when to come again,
        `EnvironmentProblem` when a share is needed and the database is away."""
        self._gates = self._limits.gates(self._key)
        if not self._gates:
            return self
        try:
            for gate in self._gates:
                await self._take_rate(gate)
            for gate in self._gates:
                await self._take_slot(gate)
            for gate in self._gates:
                await self._take_inputs(gate)
            await self._take_money()
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def settle(self, units: Mapping[str, int], amount: int | None = None) -> None:
        """The call is on record with `units` and `amount` (default: what its prices give where the
        month stands, as far as this server knows)."""
        inputs = units.get("inputs", self._inputs)
        for lease in self._quotas:
            lease.settle(self._inputs, inputs)
        self._quotas.clear()
        self._learn(units, inputs)
        if self._volumes is None:
            return
        came_to = self._price(units, self._units)
        for _, lease, taken in self._money:
            lease.settle(taken, came_to if amount is None else amount)
        # Kept for the headers; nothing of it is given back any more.
        self._money = [(gate, lease, 0) for gate, lease, _ in self._money]
        self._units = {}

    def allowance(self) -> tuple[int, int, float] | None:
        """The rate as headers tell it: its burst, the calls that may begin at once, the seconds
        until all of it may; of several rates the one with the fewest left."""
        buckets = [gate.bucket for gate in self._gates if gate.bucket is not None]
        if not buckets:
            return None
        least = min(buckets, key=lambda bucket: bucket.remaining)
        return least.burst, least.remaining, least.full_in

    def warning(self) -> str | None:
        """What is told of a budget that is used up to its mark: ``used=10.02; warn_at=10.00;
        limit=12.50; currency=EUR; of=key``."""
        for gate, lease, _ in self._money:
            mark = gate.settings.warning
            if mark is None or lease.spent < mark:
                continue
            currency = (lease.counted and lease.counted.currency) or ""
            said = [f"used={exact_text(lease.spent, currency)}", f"warn_at={gate.settings.warn_at}"]
            if gate.settings.monthly_budget is not None:
                said.append(f"limit={gate.settings.monthly_budget}")
            return "; ".join([*said, f"currency={currency}", f"of={gate.whose}"])
        return None

    async def _take_rate(self, gate: _Gate) -> None:
        bucket = gate.bucket
        if bucket is None:
            return
        wait = bucket.take()
        if wait < 0:
            wait = await bucket.ask()
        if wait > 0:
            raise RateLimited(
                f"billing.{gate.whose}_too_fast",
                limit=f"{bucket.rate:g}",
                burst=bucket.burst,
                seconds=f"{wait:.2f}",
                retry_after=wait,
                allowance=self.allowance(),
            )

    async def _take_slot(self, gate: _Gate) -> None:
        slots = gate.slots
        if slots is None:
            return
        if not slots.take(1) and not await slots.ask(1):
            raise RateLimited(
                f"billing.{gate.whose}_too_many_at_once",
                limit=slots.limit,
                retry_after=1,
                allowance=self.allowance(),
            )
        self._slots.append(slots)

    async def _take_inputs(self, gate: _Gate) -> None:
        quota = gate.quota
        if quota is None:
            return
        if not quota.take(self._inputs) and not await quota.ask(self._inputs):
            self._refuse(
                f"billing.{gate.whose}_quota_used",
                limit=f"{quota.limit:,}",
                used=f"{quota.spent + quota.pending:,}",
                asked=self._inputs,
            )
        self._quotas.append(quota)

    async def _take_money(self) -> None:
        if all(g.settings.budget is None and g.settings.warning is None for g in self._gates):
            return
        limits = self._limits
        found = limits._rates.lines(self._key.customer, self._project, self._endpoint)
        if found.currency is None:
            return
        self._lines = found.lines
        expected = self._expected()
        month = self._gates[0].counted.month
        self._volumes = await limits.volumes(self._key.customer, month, again=False)
        asked = False
        amount = self._price(expected, {})
        self._units = expected
        for gate in self._gates:
            lease = limits.budget(gate, found.currency)
            if lease is None:
                continue
            if not lease.take(amount):
                if not await lease.ask(amount):
                    self._refuse(
                        f"billing.{gate.whose}_budget_used",
                        limit=gate.settings.monthly_budget,
                        used=exact_text(lease.spent + lease.pending, found.currency),
                        currency=found.currency,
                        asked=exact_text(amount, found.currency),
                    )
                asked = True
            self._money.append((gate, lease, amount))
        if asked:  # others may have come further on the same lines
            await limits.volumes(self._key.customer, month, again=True)

    def _expected(self) -> dict[str, int]:
        usual = self._limits.usual
        known = {"calls": 1, "inputs": self._inputs}
        return {
            line.unit: known[line.unit]
            if line.unit in known
            else round(usual.get((self._endpoint, line.unit), 0.0) * self._inputs)
            for line in self._lines
        }

    def _price(self, units: Mapping[str, int], instead_of: Mapping[str, int]) -> int:
        """What `units` cost where the month stands without `instead_of`; counts the month on."""
        volumes = self._volumes
        assert volumes is not None
        total = 0
        for line in self._lines:
            before = max(0, volumes.get(line.name, 0) - instead_of.get(line.unit, 0))
            used = units.get(line.unit, 0)
            total += line.tariff.amount(before, used)
            volumes[line.name] = before + used
        return total

    def _learn(self, units: Mapping[str, int], inputs: int) -> None:
        """Remembers how much an input used, of what is not known before."""
        for line in self._lines:
            if line.unit not in ("calls", "inputs") and inputs:
                where = (self._endpoint, line.unit)
                each = units.get(line.unit, 0) / inputs
                self._limits.usual[where] = 0.8 * self._limits.usual.get(where, each) + 0.2 * each

    def _refuse(self, code: str, **params: Any) -> NoReturn:
        now = datetime.now(UTC)
        end = month_end(now)
        raise QuotaExceeded(
            code,
            resets=f"{end:%Y-%m-%d} 00:00 UTC",
            retry_after=(end - now).total_seconds(),
            allowance=self.allowance(),
            **params,
        )

    def _leave(self) -> None:
        for lease in self._slots:
            lease.give_back(1)
        for lease in self._quotas:
            lease.give_back(self._inputs)
        for _, lease, taken in self._money:
            if taken:
                lease.give_back(taken)
        if self._volumes is not None and self._units:
            self._price({}, self._units)
        self._slots, self._quotas, self._units = [], [], {}
