"""By which prices a call is charged: the customer's plan, else the project's list price.

What a call costs is decided where it is written down: the ledger knows how far the month has come
on each line, and sets the amount in the commit (`feilun.money.Tariff`). Here is decided which lines
and tariffs those are, from memory, for every call.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from feilun.billing.plans import Plan
from feilun.billing.prices import UpstreamPrice, upstream_prices
from feilun.errors import UsageError
from feilun.money import Tariff
from feilun.store.catalog import Catalog
from feilun.store.ledger_records import Rated
from feilun.store.records import Customer, Price, Subscription
from feilun.store.store import Store

__all__ = [
    "UPSTREAM",
    "UPSTREAM_COST",
    "Line",
    "Lines",
    "PlanVersion",
    "RateBook",
    "Rating",
    "currency_of",
]

UPSTREAM = "upstream_"
"""What units begin with that count what another server answered: ``upstream_inputs``,
``upstream_tokens_in``, ``upstream_tokens_out``. They are the operator's business alone."""
UPSTREAM_COST = "upstream_cost"
"""The unit that counts what was paid for that, in micro-units: a part of the event's cost."""

_FREE = UpstreamPrice()
_NEVER = datetime.max.replace(tzinfo=UTC)


class _Dated(Protocol):
    @property
    def effective(self) -> datetime: ...


_Row = TypeVar("_Row", bound=_Dated)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a customer's prices: what it counts, and by which tariff."""

    name: str
    unit: str
    tariff: Tariff


@dataclass(frozen=True, slots=True)
class Lines:
    """What calls of one customer at one endpoint are priced by, until `until`."""

    lines: tuple[Line, ...]
    price_version: int | None
    currency: str | None
    until: datetime

    def counted(self, units: Mapping[str, int]) -> Mapping[str, int]:
        """`units` as these prices count them: where ``tokens_cached`` have no price of their own
        they are ``tokens_in``."""
        cached = units.get("tokens_cached", 0)
        if not cached or any(line.unit == "tokens_cached" for line in self.lines):
            return units
        rest = {name: count for name, count in units.items() if name != "tokens_cached"}
        return {**rest, "tokens_in": rest.get("tokens_in", 0) + cached}

    def rated(self, units: Mapping[str, int]) -> tuple[Rated, ...]:
        """The lines that count any of `units`."""
        counts = self.counted(units)
        return tuple(
            Rated(line.name, counts[line.unit], line.tariff)
            for line in self.lines
            if counts.get(line.unit)
        )

    def most(self, units: Mapping[str, int]) -> int:
        """What `units` may cost at most, wherever the month stands, in micro-units. Of the
        ``tokens_in`` any may turn out to be ``tokens_cached``."""
        cached = {**units, "tokens_cached": units.get("tokens_in", 0), "tokens_in": 0}
        return max(self._most(units), self._most(cached))

    def _most(self, units: Mapping[str, int]) -> int:
        return sum(rated.tariff.most(rated.units) for rated in self.rated(units))


@dataclass(frozen=True, slots=True)
class Rating:
    """One call's prices. `rates` go into its event; the ledger sets the amount. `price_version` is
    the id of the list price or of the plan's version, None where nothing is priced; `currency` is
    then None too."""

    rates: tuple[Rated, ...]
    price_version: int | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """A version of a plan: its row's id, the plan's name, from when it holds, what it says."""

    id: int
    name: str
    effective: datetime
    plan: Plan


class RateBook:
    """All prices, plans and subscriptions, in memory. `reload` reads them again: whenever the
    catalog's epoch has grown. Safe to ask from threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lists: Mapping[str, Sequence[Price]] = {}
        self._plans: Mapping[str, Sequence[PlanVersion]] = {}
        self._subscribed: Mapping[str, Sequence[Subscription]] = {}
        self._known: dict[tuple[str, str, str], Lines] = {}
        self._upstream: Mapping[str, UpstreamPrice] = {}
        self._epoch = -1
        self._reading = threading.Lock()

    def reload(self) -> None:
        """Reads everything. Raises `EnvironmentProblem` when the catalog cannot be read."""
        with self._reading:  # one after the other: a slow reader must not bring old prices back
            epoch = self._catalog.epoch()
            self._read()
            self._epoch = epoch

    def look_again(self) -> bool:
        """Reads everything again if the catalog has changed since; whether it has."""
        if self._catalog.epoch() == self._epoch:
            return False
        self.reload()
        return True

    def _read(self) -> None:
        lists: dict[str, list[Price]] = {}
        plans: dict[str, list[PlanVersion]] = {}
        for price in self._catalog.prices():  # by the time they take effect
            if price.project is not None:
                lists.setdefault(price.project, []).append(price)
            elif price.plan is not None:
                plan = Plan.model_validate(price.document)
                version = PlanVersion(price.id, price.plan, price.effective, plan)
                plans.setdefault(price.plan, []).append(version)
        subscribed: dict[str, list[Subscription]] = {}
        for subscription in self._catalog.subscriptions():
            subscribed.setdefault(subscription.customer, []).append(subscription)
        self._lists, self._plans, self._subscribed = lists, plans, subscribed
        self._upstream = upstream_prices(self._catalog)
        # A new dict: whoever still fills the old one fills what nobody reads.
        self._known = {}

    def rate(
        self,
        customer: str,
        project: str,
        endpoint: str,
        units: Mapping[str, int],
        now: datetime | None = None,
    ) -> Rating:
        """How one call of `customer` (an id) is charged that used `units`."""
        found = self.lines(customer, project, endpoint, now)
        return Rating(found.rated(units), found.price_version, found.currency)

    def lines(
        self, customer: str, project: str, endpoint: str, now: datetime | None = None
    ) -> Lines:
        """What calls of `customer` at `endpoint` are priced by now."""
        if now is not None:  # what is kept below holds from the moment of its making on
            return self._find(customer, project, endpoint, now)
        moment = datetime.now(UTC)
        known = self._known
        key = (customer, project, endpoint)
        found = known.get(key)
        if found is None or moment >= found.until:
            found = known[key] = self._find(customer, project, endpoint, moment)
        return found

    def upstream(self, project: str) -> UpstreamPrice:
        """What answers of another server cost, which calls of `project` are passed on to."""
        return self._upstream.get(project, _FREE)

    def plan_of(self, customer: str, now: datetime | None = None) -> PlanVersion | None:
        """The version of the plan that `customer` (an id) is on, None where it is on none."""
        return self._plan_at(customer, now or datetime.now(UTC))[0]

    def until(self, customer: str, now: datetime) -> datetime:
        """When `customer` comes to another plan, or to another version of its own, at the
        soonest."""
        return self._plan_at(customer, now)[1]

    def _plan_at(self, customer: str, moment: datetime) -> tuple[PlanVersion | None, datetime]:
        subscription, until = _in_force(self._subscribed.get(customer, ()), moment)
        if subscription is None or subscription.plan is None:
            return None, until
        version, next_ = _in_force(self._plans.get(subscription.plan, ()), moment)
        return version, min(until, next_)

    def _find(self, customer: str, project: str, endpoint: str, moment: datetime) -> Lines:
        version, until = self._plan_at(customer, moment)
        if version is not None:
            rates = version.plan.rates_for(project, endpoint)
            if rates:
                lines = tuple(
                    Line(rate.line(version.name), rate.unit, rate.tariff()) for rate in rates
                )
                return Lines(lines, version.id, version.plan.currency, until)
        price, next_ = _in_force(self._lists.get(project, ()), moment)
        until = min(until, next_)
        if price is None or price.amount is None:
            return Lines((), None, None, until)
        # What costs nothing needs no count of how far the month has come.
        line = Line(f"{project}:inputs", "inputs", Tariff.flat(price.amount))
        return Lines((line,) if price.amount else (), price.id, price.currency, until)


def _in_force(rows: Sequence[_Row], moment: datetime) -> tuple[_Row | None, datetime]:
    """The row in force at `moment` of rows by the time they take effect, and when the next one
    does. Where two begin at once the later word counts."""
    found = None
    for row in rows:
        if row.effective > moment:
            return found, row.effective
        found = row
    return found, _NEVER


def currency_of(store: Store, customer: Customer) -> str:
    """The currency that `customer` pays in: its plan's, or the one it used so far. Raises
    `UsageError` where that is not one."""
    book = RateBook(store.catalog)
    book.reload()
    plan = book.plan_of(customer.id)
    if plan is not None:
        return plan.plan.currency
    used = {row.currency for row in store.ledger.usage(customer=customer.id)}
    if len(used) != 1:
        raise UsageError("billing.which_currency", customer=customer.name, options=used or "-")
    return used.pop()
