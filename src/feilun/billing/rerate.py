"""Pricing a closed month again by another price version. The past stays as it was written: what the
month would have cost less, or more, becomes one event of the month in which it was found out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from feilun.billing.currency import exact_text
from feilun.billing.invoice_lines import lines_at, owed, used
from feilun.billing.plans import Plan
from feilun.errors import Conflict, NotFound
from feilun.store.ledger_invoices import MINIMUM, RERATE
from feilun.store.ledger_records import Event, UsageRow
from feilun.store.records import Customer, Price
from feilun.store.store import Store

__all__ = ["Rerating", "rerate", "rerating"]

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Rerating:
    """What a month cost and what it would cost, in micro-units of `currency`.

    `charged` is what was charged for it so far, earlier re-ratings and the minimum included;
    `target` what it costs by the price version; `number` counts the re-ratings there have been.
    `lines` are the volumes behind `target`.
    """

    customer: str
    month: str
    price: Price
    currency: str
    charged: int
    target: int
    number: int
    lines: Sequence[dict[str, Any]]

    @property
    def difference(self) -> int:
        """What is to be charged; negative what is to be given back."""
        return self.target - self.charged


def rerating(store: Store, customer: Customer, month: str, version: int) -> Rerating:
    """What `month` of `customer` would cost by the price version with this id, as if it had held
    all month. Calls that it does not price keep what they cost. Nothing is written.

    Raises `NotFound` for an unknown version or a month without invoice, `Conflict` when the version
    prices none of the calls, or is in another currency than they were charged in.
    """
    price = next((one for one in store.catalog.prices() if one.id == version), None)
    if price is None:
        raise NotFound("billing.no_price_version", version=version)
    currency = price.currency
    if not store.invoices.invoices(customer=customer.id, month=month):
        raise NotFound("billing.not_closed", month=month, customer=customer.name)
    sums = owed(store.invoices.month_sums(customer.id, month))
    calls = used(sums)
    volumes: dict[str, int] = defaultdict(int)
    units: dict[str, Any] = {}
    kept, priced = 0, False
    for row in calls:
        lines = lines_at(price, row.by["project"], row.by["endpoint"])
        # What cost nothing has a currency in name alone.
        if lines and row.amount and row.currency != currency:
            raise Conflict(
                "billing.rerate_currency", version=version, currency=currency, had=row.currency
            )
        if not lines and row.currency == currency:
            kept += row.amount
        for line in lines:
            priced = True
            units[line.name] = line
            volumes[line.name] += row.units[line.unit]
    if not priced:
        raise Conflict("billing.rerate_nothing", version=version, month=month)
    target = kept + sum(units[name].tariff.total(volume) for name, volume in volumes.items())
    if price.document is not None:
        target = max(target, Plan.model_validate(price.document).minimum)
    earlier = store.invoices.charged_later(customer.id, RERATE + month)
    return Rerating(
        customer=customer.id,
        month=month,
        price=price,
        currency=currency,
        charged=_charged(sums, currency) + sum(a for code, a in earlier if code == currency),
        target=target,
        number=len(earlier),
        lines=[
            {
                "line": name,
                "unit": units[name].unit,
                "volume": volume,
                "amount": exact_text(units[name].tariff.total(volume), currency),
            }
            for name, volume in sorted(volumes.items())
        ],
    )


def rerate(
    store: Store, customer: Customer, month: str, version: int, *, now: datetime | None = None
) -> tuple[Rerating, bool]:
    """Writes the difference that `rerating` finds as a credit or a charge of the current month;
    the re-rating, and whether there was anything to write.

    Done again it finds no difference, also when several processes do it at once: the event's name
    counts the re-ratings of the month, and only one of them can be the next. `now` is the clock,
    for tests.
    """
    for _ in range(_TRIES):
        found = rerating(store, customer, month, version)
        if not found.difference:
            return found, False
        event = Event(
            call_id=f"{RERATE}{customer.id}:{month}:{found.number + 1}",
            kind="charge" if found.difference > 0 else "credit",
            amount=found.difference,
            currency=found.currency,
            customer=customer.id,
            price_version=version,
            outcome=RERATE + month,
            created=now,
        )
        said = {"month": month, "version": version, "amount": event.amount, "call": event.call_id}
        store.catalog.note("rerate", customer.id, said)
        try:
            store.ledger.commit([event])
        except Conflict:
            continue
        return found, True
    raise Conflict("billing.rerate_busy", month=month, customer=customer.name)


def _charged(sums: Sequence[UsageRow], currency: str) -> int:
    """What the month itself was charged: calls and minimum."""
    minimum = [row for row in sums if row.by["outcome"].startswith(MINIMUM)]
    return sum(row.amount for row in (*used(sums), *minimum) if row.currency == currency)
