"""The document of an invoice: who sells, who buys, the lines, tax, and the rounding at the end.

Every amount in it is exact decimal text, so that any program reads it without loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from feilun.billing.currency import decimals, exact_text, rounded
from feilun.billing.invoice_lines import usage_amount
from feilun.billing.rating import PlanVersion
from feilun.errors import InvalidData
from feilun.money import MICRO
from feilun.store.ledger_invoices import MINIMUM, RERATE, month_span
from feilun.store.ledger_records import UsageRow
from feilun.store.records import Customer

__all__ = [
    "Seller",
    "credit_line",
    "document_of",
    "micro_in",
    "minimum_lines",
    "rerate_lines",
    "tax_rate_of",
]

_Json = dict[str, Any]


class Seller(BaseModel):
    """Who sells, as every invoice says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    legal_name: str = Field("", max_length=200, description="name of the company")
    address: str = Field("", max_length=1000, description="its address, in lines")
    tax_id: str = Field("", max_length=100, description="its tax number")
    note: str = Field("", max_length=2000, description="words at the end: where to pay")
    payment_days: int | None = Field(
        None, ge=0, le=365, description="days to pay after the day of issue; none: not said"
    )


def tax_rate_of(value: Any) -> Decimal | None:
    """A tax rate in percent, such as ``"19"`` or ``"8.25"``; None for nothing. Raises `InvalidData`
    for what is none: below 0, 100 or more, more than four decimals."""
    if value is None or value == "":
        return None
    try:
        rate = Decimal(str(value))
    except InvalidOperation:
        raise InvalidData("billing.tax_rate", rate=value) from None
    if not rate.is_finite() or not 0 <= rate < 100 or rate != round(rate, 4):
        raise InvalidData("billing.tax_rate", rate=value)
    return rate or None


def document_of(
    customer: Customer,
    seller: Seller,
    month: str,
    moment: datetime,
    currency: str,
    lines: Sequence[_Json],
    rate: Decimal | None,
    prepaid: tuple[int, _Json | None] = (0, None),
) -> tuple[int, _Json]:
    """What is to be paid, in micro-units, and the document that says so. The lines add up to the
    net amount; tax is `rate` percent of it; what was `prepaid` goes off (micro-units, and how the
    document says it); the total alone is rounded to the currency's decimals.
    """
    net = sum(micro_in(line["amount"]) for line in lines)
    tax = 0 if rate is None else _share(net, rate)
    open_ = net + tax - prepaid[0]
    total = rounded(open_, currency)
    rounding = {
        "decimals": decimals(currency),
        "amount": exact_text(total - open_, currency),
    }
    return total, {
        "format": 1,
        "month": month,
        **_dates(month, moment, seller.payment_days),
        "currency": currency,
        "language": customer.details.get("language") or "en",
        "seller": seller.model_dump(include={"legal_name", "address", "tax_id", "note"}),
        "customer": {"id": customer.id, **_buyer(customer)},
        "lines": lines,
        "net": exact_text(net, currency),
        "tax": {"rate": f"{rate:f}", "amount": exact_text(tax, currency)} if rate else None,
        **({"prepaid": prepaid[1]} if prepaid[1] is not None else {}),
        "rounding": rounding if total != open_ else None,
        "total": exact_text(total, currency),
    }


def minimum_lines(
    sums: Sequence[UsageRow], minimum: tuple[int, PlanVersion] | None
) -> Iterator[_Json]:
    """What was charged because the month used less than the plan's minimum."""
    used = usage_amount(sums)
    for row in sums:
        if row.by["outcome"].startswith(MINIMUM):
            yield {
                "kind": "minimum",
                "plan": minimum[1].name if minimum else None,
                "price_version": row.by["price_version"],
                "minimum": exact_text(used + row.amount, row.currency),
                "used": exact_text(used, row.currency),
                "amount": exact_text(row.amount, row.currency),
            }


def rerate_lines(sums: Iterable[UsageRow]) -> Iterator[_Json]:
    """What re-rating earlier months changed, by month and price version."""
    for row in sums:
        if row.by["outcome"].startswith(RERATE):
            yield {
                "kind": "rerate",
                "first": row.by["first"],
                "month": row.by["outcome"].removeprefix(RERATE),
                "price_version": row.by["price_version"],
                "amount": exact_text(row.amount, row.currency),
            }


def credit_line(day: str, reason: str, amount: int, currency: str) -> _Json:
    """What was given back, and why."""
    return {
        "kind": "credit",
        "first": day,
        "reason": reason,
        "amount": exact_text(amount, currency),
    }


def micro_in(text: str) -> int:
    """Micro-units of an amount in a document."""
    return int(Decimal(text) * MICRO)


def _dates(month: str, moment: datetime, days: int | None) -> _Json:
    first, end = month_span(month)
    issued = moment.date()
    return {
        "first": first.date().isoformat(),
        "last": (end - timedelta(days=1)).date().isoformat(),
        "issued": issued.isoformat(),
        "due": None if days is None else (issued + timedelta(days=days)).isoformat(),
    }


def _buyer(customer: Customer) -> _Json:
    texts = _texts(customer.details)
    return texts | {"legal_name": texts["legal_name"] or customer.name}


def _texts(details: Mapping[str, Any]) -> _Json:
    return {key: str(details.get(key) or "") for key in ("legal_name", "address", "tax_id")}


def _share(amount: int, percent: Decimal) -> int:
    """A percentage in micro-units, rounded half away from nothing."""
    return int((amount * percent / 100).quantize(Decimal(1), ROUND_HALF_UP))
