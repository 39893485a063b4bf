"""Invoices, and the sums of a month that they are made from.

A month's sums come from the roll-ups; `rows` asks the events themselves, which takes as long as
there are events and must give the same. What is charged for a month after its end names the month
in its outcome (``minimum:2026-10``) and belongs to it, whatever day it was written on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import String, and_, cast, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from feilun.errors import Conflict, CorruptArtifact, NotFound
from feilun.store import tables_ledger as t
from feilun.store.columns import dump_json, now
from feilun.store.database import Database
from feilun.store.ledger_records import Event, Invoice, UsageRow
from feilun.store.ledger_totals import event_of

__all__ = ["MINIMUM", "RERATE", "InvoiceLog", "digest_of", "month_span"]

MINIMUM = "minimum:"
"""Begins the outcome of a monthly minimum's charge; the month follows."""
RERATE = "rerate:"
"""Begins the outcome of what re-rating a month changed; the month follows. Unlike a minimum it
belongs to the month in which it was written."""

_BY = ("kind", "project", "endpoint", "price_version", "currency", "outcome")
_UNITS = ("calls", "inputs", "tokens", "pixels", "tokens_out", "audio_ms")
_SUMS = (*_UNITS, "amount", "cost", "engine_us")
_TRIES = 20
_CHUNK = 500  # ids of one question
_NUMBER = re.compile(r"\d{4}-\d{2}-\d{4,9}", re.ASCII)


def month_span(month: str) -> tuple[datetime, datetime]:
    """The first moment of ``2026-10`` and of the month after, in UTC."""
    first = datetime.strptime(month + "-01", "%Y-%m-%d").replace(tzinfo=UTC)
    return first, first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)


def digest_of(document: Mapping[str, Any]) -> str:
    """The sha256 of a document: of its JSON with sorted keys, without spaces, in UTF-8."""
    return hashlib.sha256(dump_json(_sorted(document)).encode()).hexdigest()


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    return value


class InvoiceLog:
    """Invoices, append-only, over the ledger's database. Safe to call from threads and from
    several processes."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def month_sums(self, customer: str, month: str, *, rows: bool = False) -> list[UsageRow]:
        """What `customer` used and owes for `month`, by kind, project, endpoint, price version,
        currency and outcome, sorted; ``first`` and ``last`` in `by` are the days it happened on.

        From the roll-ups, or with `rows` from every event of the month.
        """
        table = t.events if rows else t.totals
        c = table.c
        if rows:
            start, end = month_span(month)
            day: Any = func.substr(cast(c.created, String), 1, 10)
            within: Any = and_(c.created >= start, c.created < end)
            count: Any = func.count()
        else:
            day = c.day
            within = and_(c.day >= f"{month}-01", c.day <= f"{month}-31")
            count = func.sum(c.events)
        belongs = or_(and_(within, c.outcome.not_like(f"{MINIMUM}%")), c.outcome == MINIMUM + month)
        empty = {"price_version": 0}
        by = [func.coalesce(c[name], empty.get(name, "")).label(f"{name}_") for name in _BY]
        query = (
            select(
                *by,
                func.min(day).label("first_"),
                func.max(day).label("last_"),
                *(func.sum(c[name]).label(name) for name in _SUMS),
                count.label("events"),
            )
            .where(c.customer == customer, belongs)
            .group_by(*by)
            .order_by(*by)
        )
        further = select(*by, c.more_units).where(
            c.customer == customer, belongs, c.more_units.is_not(None)
        )
        more: dict[tuple[Any, ...], dict[str, int]] = {}
        with self._db.read() as connection:
            found = [row._mapping for row in connection.execute(query)]
            for *group, units in connection.execute(further):
                into = more.setdefault(tuple(group), {})
                for name, count in units.items():
                    into[name] = into.get(name, 0) + count
        return [_sum(row, more.get(tuple(row[f"{n}_"] for n in _BY), {})) for row in found]

    def customers_of(self, month: str) -> list[str]:
        """The ids of the customers that the month has events of, sorted."""
        query = (
            select(t.totals.c.customer)
            .where(
                t.totals.c.day >= f"{month}-01",
                t.totals.c.day <= f"{month}-31",
                t.totals.c.customer != "",
            )
            .distinct()
            .order_by(t.totals.c.customer)
        )
        with self._db.read() as connection:
            return list(connection.scalars(query))

    def open_holds(self, customer: str, before: datetime) -> int:
        """How many calls that began before that moment are neither settled nor released."""
        query = select(func.count()).where(
            t.holds.c.customer == customer, t.holds.c.created < before
        )
        with self._db.read() as connection:
            return connection.scalar(query) or 0

    def charged_later(self, customer: str, outcome: str) -> list[tuple[str, int]]:
        """Currency and amount of each event of this outcome, in the order they were written."""
        c, e = t.totals.c, t.events.c
        days = select(c.day).where(c.customer == customer, c.outcome == outcome).distinct()
        found: list[tuple[str, int]] = []
        with self._db.read() as connection:
            # The roll-ups know the days: no others of millions of events are looked at.
            for day in sorted(connection.scalars(days)):
                start = datetime.fromisoformat(day).replace(tzinfo=UTC)
                query = (
                    select(e.currency, e.amount)
                    .where(e.customer == customer, e.outcome == outcome)
                    .where(e.created >= start, e.created < start + timedelta(days=1))
                    .order_by(e.created, e.id)
                )
                found += [(row.currency, int(row.amount)) for row in connection.execute(query)]
        return found

    def add_reason(self, call_id: str, customer: str, reason: str) -> None:
        """Notes why the event of this call id will be written. The same again does nothing; raises
        `Conflict` for another customer or reason."""
        row = {"call_id": call_id, "customer": customer, "reason": reason, "created": now()}
        try:
            with self._db.write() as connection:
                connection.execute(insert(t.reasons), [row])
        except IntegrityError:
            with self._db.read() as connection:
                known = connection.execute(
                    select(t.reasons).where(t.reasons.c.call_id == call_id)
                ).one()
            if (known.customer, known.reason) != (customer, reason):
                raise Conflict(
                    "billing.reference_taken", reference=call_id, reason=known.reason
                ) from None

    def reasoned(self, customer: str, month: str) -> list[tuple[Event, str]]:
        """The customer's events of the month that carry a reason, in the order of time."""
        start, end = month_span(month)
        e, r = t.events.c, t.reasons.c
        found: list[tuple[Event, str]] = []
        with self._db.read() as connection:
            # From the few reasons to their events: the other way round leads past every call.
            query = select(r.call_id, r.reason).where(r.customer == customer)
            known = {row.call_id: row.reason for row in connection.execute(query)}
            calls = sorted(known)
            for begin in range(0, len(calls), _CHUNK):
                events = select(t.events).where(
                    e.call_id.in_(calls[begin : begin + _CHUNK]),
                    e.customer == customer,
                    e.created >= start,
                    e.created < end,
                )
                found += [(event_of(row), known[row.call_id]) for row in connection.execute(events)]
        return sorted(found, key=lambda one: (one[0].created, one[0].id))

    def add_invoice(
        self, customer: str, month: str, currency: str, total: int, document: Mapping[str, Any]
    ) -> Invoice:
        """Keeps `document` under the next number of the month, which is put in front of it. The
        invoice that is there for this customer, month and currency is returned instead of a second.
        """
        for _ in range(_TRIES):
            try:
                with self._db.write() as connection:
                    count = connection.scalar(
                        select(func.count()).where(t.invoices.c.month == month)
                    )
                    number = f"{month}-{(count or 0) + 1:04d}"
                    whole = {"number": number, **document}
                    row: dict[str, Any] = {
                        "number": number,
                        "customer": customer,
                        "month": month,
                        "currency": currency,
                        "total": total,
                        "document": whole,
                        "digest": digest_of(whole),
                        "created": now(),
                    }
                    connection.execute(insert(t.invoices), [row])
            except IntegrityError:  # another process took the number, or closed the same
                known = self.invoices(customer=customer, month=month, currency=currency)
                if known:
                    return known[0]
            else:
                return Invoice(**row)
        raise Conflict("billing.numbers_busy", month=month)

    def invoice(self, number: str, customer: str | None = None) -> Invoice:
        """The invoice of this number, of `customer` where given. Raises `NotFound`, and
        `CorruptArtifact` when it is not as it was closed."""
        if not _NUMBER.fullmatch(number):
            raise NotFound("billing.no_invoice", number=number)
        query = select(t.invoices).where(t.invoices.c.number == number)
        if customer is not None:
            query = query.where(t.invoices.c.customer == customer)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound("billing.no_invoice", number=number)
        return _whole(Invoice(**row._mapping))

    def invoices(
        self,
        *,
        customer: str | None = None,
        month: str | None = None,
        currency: str | None = None,
    ) -> list[Invoice]:
        """Invoices by number. Raises `CorruptArtifact` when one is not as it was closed."""
        query = select(t.invoices).order_by(t.invoices.c.number)
        wanted = {"customer": customer, "month": month, "currency": currency}
        for name, value in wanted.items():
            if value is not None:
                query = query.where(t.invoices.c[name] == value)
        with self._db.read() as connection:
            rows: Sequence[Any] = connection.execute(query).all()
        return [_whole(Invoice(**row._mapping)) for row in rows]


def _whole(invoice: Invoice) -> Invoice:
    if digest_of(invoice.document) != invoice.digest:
        raise CorruptArtifact("billing.invoice_changed", number=invoice.number)
    return invoice


def _sum(values: Any, more: Mapping[str, int]) -> UsageRow:
    by = {name: values[f"{name}_"] for name in (*_BY, "first", "last")}
    # PostgreSQL sums big integers into decimals.
    return UsageRow(
        by=by | {"price_version": int(by["price_version"]) or None},
        currency=by["currency"],
        units={unit: int(values[unit]) for unit in _UNITS} | dict(more),
        amount=int(values["amount"]),
        cost=int(values["cost"]),
        engine_us=int(values["engine_us"]),
        events=int(values["events"]),
    )
