"""What answers earn and what they cost: margins, the idle machine told apart, and a price that
carries both.

The cost of an answer is its share of a machine that would be busy without a pause. The machine is
paid for whole, so what it stands idle is a cost of its own: it falls on all answers, and the more
there are the less it is for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Literal

from feilun.billing.rating import UPSTREAM_COST
from feilun.errors import InvalidData
from feilun.money import MICRO
from feilun.store.ledger_records import UsageRow

__all__ = [
    "BUSY_AT_MOST",
    "By",
    "Margin",
    "Suggestion",
    "busy_seconds",
    "idle_share",
    "margins",
    "suggest",
]

By = Literal["customer", "endpoint", "model"]

BUSY_AT_MOST = 0.7
"""The part of a machine's time that is planned for answers: at full load they would queue without
end."""


@dataclass(frozen=True, slots=True)
class Margin:
    """What one customer, endpoint or model version earned and cost, in micro-units of `currency`.

    `cost` is that of its answers, `idle` its share of the time that the machine stood idle.
    `verdict` is ``loses`` where the answers alone cost more than they earn, ``carried`` where they
    earn that but not their share of the idle machine, else ``earns``; ``unpriced`` where nothing
    was earned at all.
    """

    name: str
    currency: str
    inputs: int
    revenue: int
    cost: int
    idle: int

    @property
    def margin(self) -> int:
        """What remains of the revenue."""
        return self.revenue - self.cost - self.idle

    @property
    def share(self) -> float | None:
        """What remains, as a part of the revenue; None without any."""
        return self.margin / self.revenue if self.revenue > 0 else None

    @property
    def verdict(self) -> Literal["earns", "carried", "loses", "unpriced"]:
        """What it comes to, in a word."""
        if self.revenue < self.cost:
            return "loses" if self.revenue > 0 else "unpriced"
        if self.margin < 0:
            return "carried"
        return "earns"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A price for 1,000 inputs, in micro-units, and what it is made of.

    `cost` are the answers' seconds, `idle` the machine's seconds without any, both for 1,000
    inputs; `busy` is the part of the machines' time that answers take, `machines` how many stand
    for the load, `seconds` the machine time of one input.
    """

    price: int
    cost: int
    idle: int
    busy: float
    machines: int
    seconds: float


def busy_seconds(row: UsageRow, per_hour: float, streams: int = 1) -> float:
    """Machine time behind a sum of events: what they cost at `per_hour`, the price at which their
    version was served, but for what another server was paid. Where that was nothing, their engine
    time over `streams`."""
    if per_hour > 0:
        return (row.cost - row.units.get(UPSTREAM_COST, 0)) / MICRO / per_hour * 3600
    return row.engine_us / 1e6 / streams


def suggest(
    seconds: float,
    *,
    load: float,
    margin: float,
    per_hour: float,
    busy_at_most: float = BUSY_AT_MOST,
) -> Suggestion:
    """The price of 1,000 inputs that take `seconds` of a machine each, come at `load` a second, and
    shall leave `margin` (0 to below 1) of the price, where a machine costs `per_hour` units.

    As many machines are paid for as the load needs with `busy_at_most` of their time. Raises
    `InvalidData` for a margin or a load that cannot be.
    """
    if not 0 <= margin < 1:
        raise InvalidData("billing.margin_range", given=f"{margin:.0%}")
    if load <= 0 or not math.isfinite(load):
        raise InvalidData("billing.load_range", given=f"{load:g}")
    machines = max(1, math.ceil(load * seconds / busy_at_most - 1e-9))
    whole = machines * per_hour / 3600 / load * 1000 * MICRO
    cost = min(whole, seconds * per_hour / 3600 * 1000 * MICRO)
    price = math.ceil(whole / (1 - margin) - 1e-6)
    return Suggestion(
        price=_readable(price),
        cost=round(cost),
        idle=round(whole - cost),
        busy=load * seconds / machines,
        machines=machines,
        seconds=seconds,
    )


def _readable(price: int) -> int:
    """Rounded up to three figures: more would be an accuracy that the measurement has not."""
    if price < 1000:
        return price
    step = Decimal(10) ** (len(str(price)) - 3)
    return int((Decimal(price) / step).to_integral_value(ROUND_UP) * step)


def margins(
    rows: Iterable[UsageRow],
    by: By,
    *,
    per_hour: Mapping[str, float],
    machine: tuple[float, str],
    paid_hours: float,
    exchange: Mapping[str, Decimal] | None = None,
) -> tuple[list[Margin], int]:
    """Margins by `by`, the worst first, and the part of the idle cost that nobody bears because
    nothing was answered.

    `rows` are sums by the customer, endpoint and model version. `per_hour` is the machine's price
    at which each version was served, `machine` its price now with the currency, `paid_hours` how
    long machines were paid for. Amounts in another currency than the machine's need `exchange`: how
    much of the machine's currency one unit is. Raises `InvalidData` where one is missing.
    """
    price, currency = machine
    found: dict[str, _Sum] = {}
    for row in rows:
        name = str(row.by["model_version" if by == "model" else by] or "")
        sum_ = found.setdefault(name, _Sum())
        sum_.inputs += row.units.get("inputs", 0)
        sum_.revenue += _in(row.amount, row.currency, currency, exchange or {})
        paid = row.units.get(UPSTREAM_COST, 0)
        sum_.paid += _in(paid, row.currency, currency, exchange or {})
        sum_.seconds += busy_seconds(row, per_hour.get(str(row.by["model_version"]), price))
    busy = sum(sum_.seconds for sum_ in found.values())
    idle_seconds = max(0.0, paid_hours * 3600 - busy)
    each = price / 3600 * MICRO
    result = [
        Margin(
            name=name,
            currency=currency,
            inputs=sum_.inputs,
            revenue=sum_.revenue,
            cost=round(sum_.seconds * each) + sum_.paid,
            idle=round(idle_seconds * each * sum_.seconds / busy) if busy else 0,
        )
        for name, sum_ in found.items()
    ]
    result.sort(key=lambda margin: (margin.margin, margin.name))
    unborne = 0 if busy else round(idle_seconds * each)
    return result, unborne


@dataclass(slots=True)
class _Sum:
    inputs: int = 0
    revenue: int = 0
    paid: int = 0
    seconds: float = 0.0


def _in(amount: int, given: str, wanted: str, exchange: Mapping[str, Decimal]) -> int:
    if given == wanted or not amount:
        return amount
    if given not in exchange:
        raise InvalidData("billing.no_exchange", currency=given, machine=wanted)
    return round(amount * exchange[given])


def idle_share(found: Sequence[Margin], unborne: int) -> float | None:
    """The part of the machine's cost that it stood idle; None where it cost nothing."""
    idle = unborne + sum(margin.idle for margin in found)
    whole = idle + sum(margin.cost for margin in found)
    return idle / whole if whole else None
