"""What was used and is owed, summed from the ledger for people to read."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from feilun.billing.prices import MICRO
from feilun.store.ledger import Ledger

__all__ = ["money", "own_usage"]


def own_usage(
    ledger: Ledger,
    customer: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, Any]:
    """What a customer may see of itself: counts and amounts by day and model, never the cost.

    Amounts are decimal strings of the currency, exact to the micro-unit.
    """
    rows = ledger.usage(customer=customer, since=since, until=until, by=("day", "model_version"))
    total: dict[str, int] = {}
    for row in rows:
        total[row.currency] = total.get(row.currency, 0) + row.amount
    return {
        "object": "usage",
        "data": [
            {
                "day": _day(row.by["day"]),
                "model": row.by["model_version"],
                **dict(row.units),
                "amount": money(row.amount),
                "currency": row.currency,
            }
            for row in rows
        ],
        "total": [
            {"amount": money(amount), "currency": currency}
            for currency, amount in sorted(total.items())
        ],
    }


def money(micro: int) -> str:
    """Micro-units as a decimal string: 1230000 is ``1.23``."""
    whole, part = divmod(abs(micro), MICRO)
    decimals = f"{part:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro < 0 else ''}{whole}.{decimals}"


def _day(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
