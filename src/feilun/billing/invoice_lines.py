"""From a month's sums to the lines of an invoice: volumes, tiers, and what they come to.

The amount of every call was set when it was written down, each from where the month stood on its
line (`feilun.money.Tariff`). Their sum is the price of the volume, so the lines are worked out
again from volumes alone; what is left over (calls of two prices that overlapped at the change, or
ones priced before tiers were there) stands as a line of its own, so that lines and ledger agree to
the last micro-unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feilun.billing.credits import CREDIT
from feilun.billing.currency import exact_text
from feilun.billing.plans import Plan
from feilun.billing.rating import Line
from feilun.money import Tariff
from feilun.store.ledger_invoices import MINIMUM, RERATE
from feilun.store.ledger_records import UsageRow
from feilun.store.records import Price

__all__ = ["lines_at", "owed", "tiers_of", "usage_amount", "usage_lines", "used"]

Json = dict[str, Any]

_OWED = ("charge", "settle", "credit")


def owed(sums: Iterable[UsageRow]) -> list[UsageRow]:
    """The sums that count: holds and releases are owed by nobody."""
    return [row for row in sums if row.by["kind"] in _OWED]


def used(sums: Iterable[UsageRow]) -> list[UsageRow]:
    """Of these the calls: neither minimums nor re-ratings nor what a person gave. A credit for a
    call, such as one for an answer that was withheld, takes its units back."""
    return [
        row
        for row in owed(sums)
        if row.by["outcome"] != CREDIT and not row.by["outcome"].startswith((MINIMUM, RERATE))
    ]


def usage_amount(sums: Iterable[UsageRow]) -> int:
    """What the calls come to, in micro-units."""
    return sum(row.amount for row in used(sums))


def lines_at(price: Price, project: str, endpoint: str) -> tuple[Line, ...]:
    """What calls of `project` at `endpoint` are priced by at `price`: a list price, or a version of
    a plan. None where it does not price them."""
    if price.document is not None and price.plan is not None:
        rates = Plan.model_validate(price.document).rates_for(project, endpoint)
        return tuple(Line(rate.line(price.plan), rate.unit, rate.tariff()) for rate in rates)
    if price.amount is None or price.project != project:
        return ()
    return (Line(f"{project}:inputs", "inputs", Tariff.flat(price.amount)),)


@dataclass(slots=True)
class _Stretch:
    """What one price version counted on one line."""

    line: Line
    price: Price
    rows: list[UsageRow] = field(default_factory=list)

    @property
    def volume(self) -> int:
        return sum(row.units.get(self.line.unit, 0) for row in self.rows)

    @property
    def first(self) -> str:
        return min(str(row.by["first"]) for row in self.rows)


def usage_lines(sums: Sequence[UsageRow], prices: Mapping[int, Price]) -> Iterator[Json]:
    """The lines of the calls in `sums`, all of one customer, month and currency. Their amounts add
    up to `usage_amount`. `prices` are all price versions by id."""
    rows = used(sums)
    stretches: dict[tuple[str, int], _Stretch] = {}
    computed: dict[int | None, int] = {}
    for row in rows:
        price = prices.get(row.by["price_version"])
        for line in lines_at(price, row.by["project"], row.by["endpoint"]) if price else ():
            assert price is not None
            key = (line.name, price.id)
            stretches.setdefault(key, _Stretch(line, price)).rows.append(row)
    before: dict[str, int] = {}
    # The tiers go on from one price version to the next.
    order = sorted(stretches.values(), key=lambda s: (s.first, s.price.effective, s.price.id))
    shown = []
    for one in order:
        computed.setdefault(one.price.id, 0)
        if one.volume <= 0:
            continue
        start = before.get(one.line.name, 0)
        before[one.line.name] = start + one.volume
        amount = one.line.tariff.amount(start, one.volume)
        computed[one.price.id] += amount
        tiers = tiers_of(one.line.tariff, start, one.volume, one.price.currency)
        shown.append(_line(one.rows, one.line.unit, one.volume, amount, one.price, tiers))
    yield from sorted(shown, key=lambda line: (line["endpoint"], line["unit"], line["first"]))
    yield from _unpriced(rows, computed)


def _unpriced(rows: Sequence[UsageRow], computed: Mapping[int | None, int]) -> Iterator[Json]:
    """Calls that no price counted, and what the ledger has beside the lines worked out."""
    for version in sorted({row.by["price_version"] for row in rows}, key=lambda v: v or 0):
        mine = [row for row in rows if row.by["price_version"] == version]
        amount = sum(row.amount for row in mine)
        if version in computed:
            if amount != computed[version]:
                rest = exact_text(amount - computed[version], mine[0].currency)
                yield {**_span(mine), "kind": "order", "price_version": version, "amount": rest}
            continue
        volume = sum(row.units["inputs"] for row in mine)
        if volume or amount:
            yield _line(mine, "inputs", volume, amount, None, [], version)


def _line(
    rows: Sequence[UsageRow],
    unit: str,
    volume: int,
    amount: int,
    price: Price | None,
    tiers: list[Json],
    version: int | None = None,
) -> Json:
    parts: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        part = parts.setdefault((row.by["endpoint"], row.by["project"]), [0, 0])
        part[0] += row.units.get(unit, 0)
        part[1] += row.units["calls"]
    return {
        "kind": "usage",
        **_span(rows),
        "endpoint": ", ".join(dict.fromkeys(endpoint for endpoint, _ in sorted(parts))),
        "unit": unit,
        "plan": price.plan if price else None,
        "price_version": price.id if price else version,
        "calls": sum(calls for _, calls in parts.values()),
        "volume": volume,
        "endpoints": [
            {"endpoint": endpoint, "project": project, "volume": units, "calls": calls}
            for (endpoint, project), (units, calls) in sorted(parts.items())
        ],
        "tiers": tiers,
        "amount": exact_text(amount, rows[0].currency),
    }


def _span(rows: Sequence[UsageRow]) -> Json:
    return {
        "first": min(row.by["first"] for row in rows),
        "last": max(row.by["last"] for row in rows),
    }


def tiers_of(tariff: Tariff, before: int, units: int, currency: str) -> list[Json]:
    """How `units` after `before` of the month spread over the tiers. Amounts are rounded the way
    the ledger rounds, so that they add up to what was charged."""
    found: list[Json] = []
    start, end = before, before + units
    for until, per_1000 in tariff.tiers:
        stop = end if until is None else min(end, until)
        if stop > start:
            found.append(
                {
                    "first": start + 1,
                    "last": stop,
                    "volume": stop - start,
                    "price_per_1000": exact_text(per_1000, currency),
                    "amount": exact_text(tariff.amount(start, stop - start), currency),
                }
            )
            start = stop
    return found
