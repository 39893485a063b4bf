"""What was used and is owed, and what is left of the month's limits, for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Protocol

from feilun.billing.currency import exact_text
from feilun.billing.limits import LimitSettings
from feilun.billing.rating import UPSTREAM
from feilun.money import MICRO
from feilun.store.ledger import Ledger
from feilun.store.ledger_allowances import Allowances, Counted

__all__ = ["Held", "left_over", "money", "own_usage"]


class Held(Protocol):
    """Limits that hold for a key: whose they are, what they say, what counts towards them."""

    @property
    def whose(self) -> str:
        """``key`` or ``customer``."""

    @property
    def settings(self) -> LimitSettings:
        """What may be used at most."""

    @property
    def counted(self) -> Counted:
        """What of the ledger counts."""


def own_usage(
    ledger: Ledger,
    customer: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, Any]:
    """What a customer may see of itself: counts and amounts by day and model, never the cost.

    Amounts are decimal strings of the currency, exact to the micro-unit. What was owed without a
    call (a monthly minimum, a credit) has no model.
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
                **{name: n for name, n in row.units.items() if not name.startswith(UPSTREAM)},
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


def left_over(
    allowances: Allowances, held: Iterable[Held], currencies: Iterable[str]
) -> list[dict[str, Any]]:
    """What is left this month of each of the limits `held`: of the key, and of the customer.

    `currencies` are those the customer is charged in: a budget holds in each of them alone. What is
    on record counts, and what open holds reserve.
    """
    return [_left(allowances, one, sorted(set(currencies))) for one in held]


def _left(allowances: Allowances, held: Held, currencies: list[str]) -> dict[str, Any]:
    settings, counted = held.settings, held.counted
    found: dict[str, Any] = {"of": held.whose, "month": counted.month}
    if settings.rate is not None:
        found["rate"] = {"calls_a_second": settings.rate, "burst": settings.calls_at_once}
    if settings.concurrency is not None:
        found["concurrency"] = settings.concurrency
    if settings.monthly_inputs is not None:
        used = allowances.spent(Counted(counted.customer, counted.month, counted.keys))
        limit = settings.monthly_inputs
        found["inputs"] = {"limit": limit, "used": used, "remaining": max(0, limit - used)}
    if settings.prepaid:
        accounts = allowances.accounts(counted.customer)
        left = dict.fromkeys(currencies, 0) | {code: one.left for code, one in accounts.items()}
        found["balances"] = [
            {"currency": code, "remaining": exact_text(amount, code)}
            for code, amount in sorted(left.items())
        ]
    if settings.budget is not None or settings.warning is not None:
        found["budgets"] = [_budget(allowances, settings, counted, code) for code in currencies]
    return found


def _budget(
    allowances: Allowances, settings: LimitSettings, counted: Counted, currency: str
) -> Mapping[str, Any]:
    used = allowances.spent(Counted(counted.customer, counted.month, counted.keys, currency))
    budget, warning = settings.budget, settings.warning
    left = None if budget is None else exact_text(max(0, budget - used), currency)
    return {
        "currency": currency,
        "limit": None if budget is None else exact_text(budget, currency),
        "used": exact_text(used, currency),
        "remaining": left,
        "warn_at": None if warning is None else exact_text(warning, currency),
    }


def money(micro: int) -> str:
    """Micro-units as a decimal string: 1230000 is ``1.23``."""
    whole, part = divmod(abs(micro), MICRO)
    decimals = f"{part:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro < 0 else ''}{whole}.{decimals}"


def _day(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
