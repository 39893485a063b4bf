"""Closing a month: what each customer owes becomes an invoice that never changes.

An invoice is a document (JSON), kept with its sha256. Its net amount is the sum of the ledger's
events of the month, to the last micro-unit; what is missing of a monthly minimum is charged by an
event of its own before. Tax is added and the total rounded to the currency's decimals once, at the
end, and the document shows both. What a balance paid goes off before the rounding.
Closing a month twice gives the same invoices.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from feilun.billing.credits import CREDIT
from feilun.billing.currency import exact_text
from feilun.billing.invoice_document import (
    Seller,
    credit_line,
    document_of,
    micro_in,
    minimum_lines,
    rerate_lines,
    tax_rate_of,
)
from feilun.billing.invoice_lines import owed, usage_amount, usage_lines
from feilun.billing.prepaid import settle_month
from feilun.billing.rating import PlanVersion, RateBook
from feilun.errors import Conflict, CorruptArtifact, InvalidData
from feilun.store.ledger_invoices import MINIMUM, month_span
from feilun.store.ledger_records import Event, Invoice, UsageRow
from feilun.store.records import Customer
from feilun.store.store import Store

__all__ = [
    "GRACE",
    "SELLER",
    "check_month",
    "close_month",
    "find_customer",
    "minimums_of",
    "parse_month",
    "preview_month",
]

GRACE = timedelta(minutes=5)
"""How long after a month's end it may not be closed yet: clocks differ, and commits wait."""
SELLER = "invoice.seller"
"""The catalog's setting that says who sells: see `feilun.billing.invoice_document.Seller`."""

_LATE_MONTHS = 3
_Json = dict[str, Any]


def parse_month(text: str) -> str:
    """``2026-10`` as it is. Raises `InvalidData` for anything else."""
    if not re.fullmatch(r"[2-9]\d{3}-(0[1-9]|1[0-2])", text, re.ASCII):
        raise InvalidData("billing.month", month=text)
    return text


def close_month(
    store: Store,
    month: str,
    customers: Sequence[Customer] | None = None,
    *,
    tax: Decimal | None = None,
    check: bool = False,
    now: datetime | None = None,
) -> list[Invoice]:
    """Closes `month` for `customers` (default: all who used or owe something), an invoice for each
    currency; by number. Those that are closed already are returned as they are.

    `tax` is a rate in percent for customers whose details name none. `check` compares the roll-ups
    with every event first. `now` is the clock, for tests. Raises `Conflict` while the month runs or
    calls of it are held open, `CorruptArtifact` when roll-ups and events differ; then nothing has
    been closed.
    """
    moment = now or datetime.now(UTC)
    _, end = month_span(parse_month(month))
    if moment < end + GRACE:
        raise Conflict("billing.month_runs", month=month, until=f"{end + GRACE:%Y-%m-%d %H:%M}")
    book = RateBook(store.catalog)
    book.reload()
    chosen = _candidates(store, book, month) if customers is None else list(customers)
    waiting = [one.name for one in chosen if store.invoices.open_holds(one.id, end)]
    if waiting:
        raise Conflict("billing.holds_open", month=month, customers=waiting)
    if check:
        for one in chosen:
            check_month(store, one.id, month)
    closing = _Closing(store, book, month, tax, moment)
    found = [invoice for one in chosen for invoice in closing.close(one)]
    return sorted(found, key=lambda invoice: invoice.number)


def preview_month(
    store: Store,
    customer: Customer,
    month: str | None = None,
    *,
    tax: Decimal | None = None,
    now: datetime | None = None,
) -> list[_Json]:
    """The documents that closing `month` (default: the one that runs) would make by what is in the
    ledger so far, one a currency, without number and dates of issue. Nothing is charged, numbered
    or closed. Raises `InvalidData` for a month that has not begun, `Conflict` for one that is
    closed, naming its invoices."""
    moment = now or datetime.now(UTC)
    wanted = f"{moment:%Y-%m}" if month is None else parse_month(month)
    start, _ = month_span(wanted)
    if start > moment:
        raise InvalidData("billing.month_ahead", month=wanted)
    book = RateBook(store.catalog)
    book.reload()
    closing = _Closing(store, book, wanted, tax, moment)
    found = list(closing.preview(customer))
    done = store.invoices.invoices(customer=customer.id, month=wanted)
    if done and not found:
        raise Conflict("billing.closed_already", month=wanted, numbers=[one.number for one in done])
    return found


def check_month(store: Store, customer: str, month: str) -> int:
    """Compares the roll-ups of a customer's month with every event of it, and returns how many
    events those are. Raises `CorruptArtifact` where they differ."""
    sums = store.invoices.month_sums(customer, month)
    rows = store.invoices.month_sums(customer, month, rows=True)
    if sums != rows:
        raise CorruptArtifact("billing.sums_differ", customer=customer, month=month)
    return sum(row.events for row in rows)


def minimums_of(book: RateBook, customer: str, month: str) -> dict[str, tuple[int, PlanVersion]]:
    """What `customer` owes at least for `month`, by currency, and the last plan version that says
    so. A plan that held for a part of the month asks for that part of its minimum, by the time."""
    start, end = month_span(month)
    shares: dict[str, int] = {}
    last: dict[str, PlanVersion] = {}
    moment = start
    while moment < end:
        version = book.plan_of(customer, moment)
        until = min(book.until(customer, moment), end)
        if version is not None and version.plan.minimum:
            currency = version.plan.currency
            time = (until - moment) // timedelta(microseconds=1)
            shares[currency] = shares.get(currency, 0) + version.plan.minimum * time
            last[currency] = version
        moment = until
    whole = (end - start) // timedelta(microseconds=1)
    return {code: ((2 * s + whole) // (2 * whole), last[code]) for code, s in shares.items()}


def _candidates(store: Store, book: RateBook, month: str) -> list[Customer]:
    used = set(store.invoices.customers_of(month))
    return [
        one
        for one in store.catalog.customers()
        if one.id in used or minimums_of(book, one.id, month)
    ]


class _Closing:
    """Closes one month, a customer at a time."""

    def __init__(
        self, store: Store, book: RateBook, month: str, tax: Decimal | None, moment: datetime
    ) -> None:
        self._store = store
        self._book = book
        self._month = month
        self._tax = tax
        self._moment = moment
        self._prices = {price.id: price for price in store.catalog.prices()}
        self._seller = Seller.model_validate(store.catalog.setting(SELLER, {}))

    def close(self, customer: Customer) -> Iterator[Invoice]:
        """The customer's invoices of the month, made where they are not there."""
        log = self._store.invoices
        done = {one.currency: one for one in log.invoices(customer=customer.id, month=self._month)}
        sums = owed(log.month_sums(customer.id, self._month))
        minimums = minimums_of(self._book, customer.id, self._month)
        for currency in sorted({row.currency for row in sums} | set(minimums) | set(done)):
            if currency in done:
                yield done[currency]
                continue
            mine = [row for row in sums if row.currency == currency]
            if currency in minimums:
                mine = self._charge_minimum(customer, currency, *minimums[currency], mine)
            if mine:
                yield self._keep(customer, currency, mine, minimums.get(currency))

    def preview(self, customer: Customer) -> Iterator[_Json]:
        """The documents of what is not closed yet, made and not kept."""
        log = self._store.invoices
        done = {one.currency for one in log.invoices(customer=customer.id, month=self._month)}
        sums = owed(log.month_sums(customer.id, self._month))
        minimums = minimums_of(self._book, customer.id, self._month)
        for currency in sorted(({row.currency for row in sums} | set(minimums)) - done):
            mine = [row for row in sums if row.currency == currency]
            missing = 0
            if currency in minimums:
                minimum, version = minimums[currency]
                missing = _missing(minimum, mine)
                if missing:
                    mine.append(_minimum_row(self._month, currency, missing, version))
            if mine:
                _, document = self._document(
                    customer, currency, mine, minimums.get(currency), to_come=missing, write=False
                )
                yield document | {"issued": None, "due": None}

    def _charge_minimum(
        self,
        customer: Customer,
        currency: str,
        minimum: int,
        version: PlanVersion,
        sums: list[UsageRow],
    ) -> list[UsageRow]:
        """Charges what is missing of the minimum, once, and returns the sums with it."""
        missing = _missing(minimum, sums)
        if not missing:
            return sums
        event = Event(
            call_id=f"{MINIMUM}{customer.id}:{self._month}:{currency}",
            amount=missing,
            currency=currency,
            customer=customer.id,
            price_version=version.id,
            outcome=MINIMUM + self._month,
        )
        # In conflict another process closes the same month: its charge is this one.
        with suppress(Conflict):
            self._store.ledger.commit([event])
        found = owed(self._store.invoices.month_sums(customer.id, self._month))
        return [row for row in found if row.currency == currency]

    def _keep(
        self,
        customer: Customer,
        currency: str,
        sums: list[UsageRow],
        minimum: tuple[int, PlanVersion] | None,
    ) -> Invoice:
        total, document = self._document(customer, currency, sums, minimum, write=True)
        said = {"month": self._month, "currency": currency, "total": total}
        self._store.catalog.note("invoice.close", customer.id, said)
        return self._store.invoices.add_invoice(customer.id, self._month, currency, total, document)

    def _document(
        self,
        customer: Customer,
        currency: str,
        sums: list[UsageRow],
        minimum: tuple[int, PlanVersion] | None,
        *,
        to_come: int = 0,
        write: bool,
    ) -> tuple[int, _Json]:
        """What is to be paid in micro-units, and the document that says so; `write` puts what the
        invoice asks for onto the balance of who pays beforehand; `to_come` of the `sums` would be
        charged by closing."""
        lines = [
            *usage_lines(sums, self._prices),
            *minimum_lines(sums, minimum),
            *self._credit_lines(customer, sums, currency),
            *rerate_lines(sums),
            *self._late_lines(customer, currency),
        ]
        net = sum(micro_in(line["amount"]) for line in lines)
        later = [line for line in lines if line["kind"] == "late"]
        late = sum(micro_in(line["amount"]) for line in later)
        ledger = sum(row.amount for row in sums)
        assert net - late == ledger, (customer.id, self._month, net, late, ledger)
        own = customer.details.get("tax_rate")
        rate = self._tax if own is None else tax_rate_of(own)
        balance = settle_month(
            self._store,
            customer.id,
            self._month,
            currency,
            sums,
            later,
            to_come=to_come,
            write=write,
        )
        total, document = document_of(
            customer,
            self._seller,
            self._month,
            self._moment,
            currency,
            lines,
            rate,
            (balance.paid, balance.document),
        )
        document["ledger"] = {
            "events": sum(row.events for row in sums),
            "amount": exact_text(ledger, currency),
        }
        return total, document

    def _credit_lines(
        self, customer: Customer, sums: Iterable[UsageRow], currency: str
    ) -> Iterator[_Json]:
        """What was given back, each with its reason; what has none in one line."""
        rest = sum(row.amount for row in sums if row.by["outcome"] == CREDIT)
        for event, reason in self._store.invoices.reasoned(customer.id, self._month):
            if event.currency == currency and event.outcome == CREDIT and event.created:
                rest -= event.amount
                yield credit_line(f"{event.created:%Y-%m-%d}", reason, event.amount, currency)
        if rest:
            first, _ = month_span(self._month)
            yield credit_line(f"{first:%Y-%m-%d}", "", rest, currency)

    def _late_lines(self, customer: Customer, currency: str) -> Iterator[_Json]:
        """What was written down for earlier months after they had been closed."""
        log = self._store.invoices
        earlier = [
            one
            for one in log.invoices(customer=customer.id, currency=currency)
            if one.month < self._month
        ]
        for one in sorted(earlier, key=lambda invoice: invoice.month)[-_LATE_MONTHS:]:
            now = sum(
                row.amount
                for row in owed(log.month_sums(customer.id, one.month))
                if row.currency == currency
            )
            billed = micro_in(one.document["ledger"]["amount"]) + sum(
                micro_in(line["amount"])
                for other in earlier
                for line in other.document["lines"]
                if line["kind"] == "late" and line["month"] == one.month
            )
            if now != billed:
                amount = exact_text(now - billed, currency)
                yield {"kind": "late", "month": one.month, "amount": amount}


def _missing(minimum: int, sums: Sequence[UsageRow]) -> int:
    """What is still to be charged of a month's minimum."""
    if any(row.by["outcome"].startswith(MINIMUM) for row in sums):
        return 0
    return max(0, minimum - usage_amount(sums))


def _minimum_row(month: str, currency: str, amount: int, version: PlanVersion) -> UsageRow:
    """What the ledger would sum up for a minimum, had it been charged."""
    by = {"kind": "charge", "outcome": MINIMUM + month, "price_version": version.id}
    return UsageRow(by, currency, {}, amount, cost=0, engine_us=0, events=1)


def find_customer(store: Store, name: str) -> Customer:
    """The customer of this name or id. Raises `NotFound`."""
    known = store.catalog.customer_named(name)
    if known is not None:
        return known
    return store.catalog.customer(name)
