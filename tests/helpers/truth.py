"""What a ledger should say, kept in plain Python: no database, no roll-ups, no integers rounded on
the way. Prices are added up unit by unit as fractions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any

__all__ = ["Fact", "PlanTruth", "Steps", "Truth", "half_up", "price_of"]

Steps = tuple[tuple[int | None, int], ...]
"""(up to which unit of the month, micro-units for 1,000), the last open."""

_TICK = timedelta(microseconds=1)
OWED = ("charge", "settle", "credit")


def half_up(amount: Fraction) -> int:
    """To a whole number, halves up."""
    return floor(amount + Fraction(1, 2))


def price_of(steps: Steps, volume: int) -> int:
    """What the first `volume` units of a month cost together."""
    total, begin = Fraction(0), 0
    for end, per_1000 in steps:
        last = volume if end is None else min(end, volume)
        total += max(0, last - begin) * Fraction(per_1000, 1000)
        begin = max(begin, last)
    return half_up(total)


@dataclass(frozen=True)
class PlanTruth:
    """One version of a plan: steps by unit, the least that a month costs."""

    effective: datetime
    id: int
    currency: str
    minimum: int
    rates: Mapping[str, Steps]


@dataclass(frozen=True)
class Fact:
    """One event as the ledger must show it."""

    call_id: str
    seq: int
    kind: str
    customer: str
    key_id: str | None
    created: datetime | None
    units: Mapping[str, int]
    amount: int
    currency: str
    price_version: int | None
    outcome: str = "ok"
    belongs: str = ""
    """The month of the invoice that it stands on, where that is not the one of its time."""

    def on(self, month: str) -> bool:
        """Whether the invoice of `month` counts it."""
        if self.belongs:
            return self.belongs == month
        return self.created is not None and f"{self.created:%Y-%m}" == month


@dataclass
class Truth:
    """Everything that was written, and what follows from it."""

    facts: dict[tuple[str, int], Fact] = field(default_factory=dict)
    volumes: dict[tuple[str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    answers: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """(customer, key) to (fingerprint, call id) of the answer that retries get."""
    holds: dict[str, str] = field(default_factory=dict)
    """Open holds: call id to customer."""
    lists: list[tuple[datetime, int, int]] = field(default_factory=list)
    """List prices: from when, id, micro-units for 1,000 inputs."""
    plans: dict[str, list[PlanTruth]] = field(default_factory=lambda: defaultdict(list))
    subscribed: dict[str, list[tuple[datetime, str | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    billed: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """(customer, month, currency) of closed months to what has been billed for them so far."""

    opened: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    """(customer, currency) of balances to the month of their opening and what it was charged
    before."""

    def plan_at(self, customer: str, moment: datetime) -> tuple[str, PlanTruth] | None:
        """The plan and its version that hold for `customer`."""
        name = _last(self.subscribed[customer], moment)
        if name is None or name[1] is None:
            return None
        begun = [(one.effective, one) for one in self.plans[name[1]]]
        version = _last(begun, moment)
        return None if version is None else (name[1], version[1])

    def prices_at(
        self, customer: str, moment: datetime
    ) -> tuple[int | None, str, dict[str, tuple[str, Steps]]]:
        """Price version, currency, and by unit the line and its steps."""
        found = self.plan_at(customer, moment)
        if found is not None and found[1].rates:
            name, version = found
            lines = {unit: (f"{name}/*/*:{unit}", steps) for unit, steps in version.rates.items()}
            return version.id, version.currency, lines
        price = _last(self.lists, moment)
        if price is None:
            return None, "USD", {}
        # What costs nothing is not counted.
        lines = {"inputs": ("reviews:inputs", ((None, price[2]),))} if price[2] else {}
        return price[1], "USD", lines

    def charge(
        self,
        customer: str,
        month: str,
        lines: Mapping[str, tuple[str, Steps]],
        units: Mapping[str, int],
    ) -> int:
        """What `units` more come to, and counts the volumes on."""
        amount = 0
        for unit, (line, steps) in lines.items():
            if units.get(unit):
                place = (customer, month, line)
                before = self.volumes[place]
                self.volumes[place] = before + units[unit]
                amount += price_of(steps, before + units[unit]) - price_of(steps, before)
        return amount

    def owed(self, customer: str, month: str, currency: str) -> list[Fact]:
        """What the invoice of the month counts."""
        return [
            fact
            for fact in self.facts.values()
            if fact.customer == customer
            and fact.currency == currency
            and fact.kind in OWED
            and fact.on(month)
        ]

    def drawn(self, customer: str, currency: str, opened: str, until: str = "9999-12") -> int:
        """What was charged in the months from `opened` to `until`, by their invoices' months."""
        total = 0
        for fact in self.facts.values():
            if (fact.customer, fact.currency) != (customer, currency) or fact.kind not in OWED:
                continue
            month = fact.belongs or (f"{fact.created:%Y-%m}" if fact.created else "")
            if opened <= month <= until:
                total += fact.amount
        return total

    def paid(self, customer: str, currency: str) -> int:
        """What was put onto the balance, by an operator or by an invoice that asks for it."""
        return sum(
            fact.amount
            for fact in self.facts.values()
            if (fact.customer, fact.currency) == (customer, currency)
            and fact.kind == "topup"
            and fact.outcome != "opening"
        )

    def left(self, customer: str, currency: str) -> int:
        """What is left of the balance; open holds reserve theirs."""
        opened, before = self.opened[customer, currency]
        held = sum(
            self.facts[call_id, 0].amount
            for call_id, who in self.holds.items()
            if who == customer and self.facts[call_id, 0].currency == currency
        )
        drawn = self.drawn(customer, currency, opened) - before
        return self.paid(customer, currency) - drawn - held

    def versions(self) -> dict[int, tuple[str, int, dict[str, Steps]]]:
        """All price versions by id: currency, the least that a month costs, steps by unit."""
        found: dict[int, tuple[str, int, dict[str, Steps]]] = {
            id: ("USD", 0, {"inputs": ((None, per_1000),)}) for _, id, per_1000 in self.lists
        }
        for versions in self.plans.values():
            for one in versions:
                found[one.id] = (one.currency, one.minimum, dict(one.rates))
        return found

    def rated_again(self, customer: str, month: str, id: int) -> tuple[int, str, int] | None:
        """What a closed month would cost more by the price version `id`, its currency, and how
        often the month was rated again before; None where it cannot be."""
        currency, minimum, rates = self.versions()[id]
        mine = [fact for fact in self.facts.values() if fact.customer == customer]
        calls = [
            fact
            for fact in mine
            if fact.kind in OWED and fact.on(month) and fact.outcome in ("ok", "withheld")
        ]
        if not calls or any(fact.currency != currency for fact in calls):
            return None
        target = sum(
            price_of(steps, sum(fact.units.get(unit, 0) for fact in calls))
            for unit, steps in rates.items()
        )
        again = [fact for fact in mine if fact.outcome == f"rerate:{month}"]
        least = [fact for fact in mine if fact.outcome == f"minimum:{month}"]
        charged = [*calls, *again, *least]
        paid = sum(fact.amount for fact in charged if fact.currency == currency)
        return max(target, minimum) - paid, currency, len(again)

    def minimum(self, customer: str, start: datetime, end: datetime) -> dict[str, int]:
        """What the month costs at least, by currency: each version by the time that it held."""
        turns = {start, end, *(when for when, _ in self.subscribed[customer])}
        turns |= {one.effective for versions in self.plans.values() for one in versions}
        times = sorted(when for when in turns if start <= when <= end)
        sums: dict[str, Fraction] = defaultdict(Fraction)
        for begin, until in pairwise(times):
            found = self.plan_at(customer, begin)
            if found is not None and found[1].minimum:
                share = Fraction((until - begin) // _TICK, (end - start) // _TICK)
                sums[found[1].currency] += found[1].minimum * share
        return {currency: half_up(amount) for currency, amount in sums.items()}


def _last(rows: Sequence[tuple[Any, ...]], moment: datetime) -> tuple[Any, ...] | None:
    """The row in force: of those that have begun the latest, of equals the one noted last."""
    found = None
    for row in rows:
        if row[0] <= moment and (found is None or row[0] >= found[0]):
            found = row
    return found
