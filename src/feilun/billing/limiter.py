"""Holds every call to the limits of its key, its customer and its customer's plan.

    async with Admission(limits, key, project, endpoint, inputs) as admission:
        ...                      # the engine answers, the ledger writes
        admission.settle(units)

Entering takes what the call needs: a call of the rate, a place among those that run, inputs of the
month's quota, money of the month's budget and of what was paid beforehand. Without `settle` leaving
gives back what was taken, but for the rate: a call that failed was a call. What a call costs is
known before it runs where calls or inputs are priced; other units are taken to be what calls to the
endpoint used of late, and put right when it is on record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from feilun.billing.leases import Bucket, Lease, Sharing
from feilun.billing.limits import LimitSettings, tightest
from feilun.billing.rating import Lines, RateBook
from feilun.store.catalog import Catalog
from feilun.store.ledger_allowances import Counted
from feilun.store.records import ApiKey
from feilun.store.store import Store

__all__ = ["Gate", "Limits", "month_end"]


Whose = Literal["key", "customer"]


def month_end(moment: datetime) -> datetime:
    """The first moment of the next month, in UTC."""
    year, month = moment.year + moment.month // 12, moment.month % 12 + 1
    return datetime(year, month, 1, tzinfo=UTC)


@dataclass(slots=True)
class Gate:
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

    gates: tuple[Gate, ...]
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

    def leases(self) -> Iterator[Lease]:
        """Every share that this server may hold."""
        yield from self._leases.values()

    def forget(self, month: str) -> None:
        """Forgets shares of other months than `month` that no call uses any more."""
        for name, lease in list(self._leases.items()):
            counted = lease.counted
            old = counted is not None and not counted.prepaid and counted.month != month
            if old and not lease.pending and not lease.holds:
                del self._leases[name]
        for held in [held for held in self._volumes if held[1] != month]:
            del self._volumes[held]

    def lines(self, customer: str, project: str, endpoint: str) -> Lines:
        """What calls of `customer` at `endpoint` are priced by now."""
        return self._rates.lines(customer, project, endpoint)

    def gates(self, key: ApiKey) -> tuple[Gate, ...]:
        """What holds for `key` now."""
        now = datetime.now(UTC)
        known = self._rules
        rules = known.get(key.id)
        if rules is None or now >= rules.until:
            rules = known[key.id] = self._compile(key, now)
        return rules.gates

    def budget(self, gate: Gate, currency: str) -> Lease | None:
        """The share of a gate's budget in `currency`; None where there is neither a budget nor a
        warning."""
        settings = gate.settings
        if settings.budget is None and settings.warning is None:
            return None
        lease = gate.budgets.get(currency)
        if lease is None:
            counted = Counted(
                gate.counted.customer, gate.counted.month, gate.counted.keys, currency
            )
            name = f"budget:{_subject(gate.counted)}:{counted.month}:{currency}"
            slice_ = max(1, (settings.warning or 0) // 100) if settings.budget is None else None
            lease = gate.budgets[currency] = self._lease(name, settings.budget, counted, slice_)
        return lease

    def balance(self, customer: str, currency: str) -> tuple[Gate, Lease]:
        """The share of what `customer` paid beforehand in `currency`."""
        counted = Counted(customer, "", (), currency)
        name = f"balance:{customer}:{currency}"
        lease = self._leases.get(name)
        if lease is None:
            lease = self._leases[name] = Lease(self.sharing, name, None, counted)
        return Gate("customer", LimitSettings(), counted, None, None, None), lease

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
        found: tuple[tuple[Whose, LimitSettings, Counted], ...] = (
            (
                "key",
                LimitSettings.model_validate(key.limits),
                Counted(key.customer, month, key.line),
            ),
            ("customer", tightest(of_customer), Counted(key.customer, month)),
        )
        gates = tuple(
            self._gate(whose, settings, counted)
            for whose, settings, counted in found
            if settings != LimitSettings()
        )
        return _Rules(gates, min(month_end(now), self._rates.until(key.customer, now)))

    def _gate(self, whose: Whose, settings: LimitSettings, counted: Counted) -> Gate:
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
        return Gate(whose, settings, counted, bucket, slots, quota)

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
        if counted is not None and lease.counted is not None:
            # The key was rotated since: what the new one uses counts too.
            lease.counted = max(counted, lease.counted, key=lambda one: len(one.keys))
        if (lease.limit, lease.slice) != (limit, slice):
            lease.lapse()  # what was taken of the old limit need not be there of the new one
            lease.limit, lease.slice = limit, slice
        return lease


def _subject(counted: Counted) -> str:
    return f"key:{counted.keys[0]}" if counted.keys else f"customer:{counted.customer}"
