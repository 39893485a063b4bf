"""What customers paid beforehand, and what is left of it: sums over the ledger's own events.

A balance begins with an event of kind ``topup`` and outcome ``opening``, whose amount is what the
month had been charged until then: so much is owed by invoice. From there on everything that is
charged comes out of the balance. The other top-ups are what an operator recorded, and what the
invoice of a month asked for because the balance did not cover it (``invoiced:2026-11``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from feilun.store import tables_ledger as t
from feilun.store.database import Database
from feilun.store.ledger_invoices import MINIMUM
from feilun.store.ledger_records import Event
from feilun.store.ledger_totals import event_of

__all__ = ["INVOICED", "OPENING", "TOPUP", "Account", "Balances", "drawn_by_writer", "paid_in"]

TOPUP: Literal["topup"] = "topup"
"""The kind of events that put money onto a balance."""
OPENING = "opening"
INVOICED = "invoiced:"
"""Begins the outcome of what a month's invoice asked for; the month follows."""

_OWED = ("charge", "settle", "credit")


@dataclass(frozen=True, slots=True)
class Account:
    """A balance in one currency, in micro-units: opened in the month `opened` (``2026-11``).

    `paid` is what was put in, `drawn` what was charged since the opening, `held` what open holds
    reserve. `before` is what the opening month was charged earlier, `invoiced` what invoices asked
    for, by month (part of `paid`).
    """

    currency: str
    opened: str
    paid: int
    drawn: int
    held: int = 0
    before: int = 0
    invoiced: Mapping[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """What can still be spent; below zero where a call turned out dearer than was known."""
        return self.paid - self.drawn - self.held


class Balances:
    """Balances, over the ledger's database."""

    _db: Database

    def accounts(self, customer: str) -> dict[str, Account]:
        """The customer's balances by currency."""
        with self._db.read() as connection:
            return {
                currency: _account(connection, customer, currency, opened)
                for currency, opened in _opened(connection, customer).items()
            }

    def drawn_until(self, customer: str, account: Account, month: str) -> int:
        """What was charged since the opening and stands on invoices of `month` and before."""
        c = t.totals.c
        until = or_(
            and_(c.day <= f"{month}-31", c.outcome.not_like(f"{MINIMUM}%")),
            and_(c.outcome.like(f"{MINIMUM}%"), c.outcome <= MINIMUM + month),
        )
        query = select(func.sum(c.amount)).where(
            *_drawn(customer, account.currency, account.opened), until
        )
        with self._db.read() as connection:
            return int(connection.scalar(query) or 0) - account.before

    def topped_up(self, customer: str, currency: str) -> list[tuple[str, int]]:
        """What an operator put in: day and amount, summed by day, the oldest first."""
        c = t.totals.c
        query = (
            select(c.day, func.sum(c.amount))
            .where(*_topups(customer, currency))
            .where(c.outcome != OPENING, c.outcome.not_like(f"{INVOICED}%"))
            .group_by(c.day)
            .order_by(c.day)
        )
        with self._db.read() as connection:
            return [(day, int(amount)) for day, amount in connection.execute(query)]

    def topups(self, customer: str) -> list[tuple[Event, str]]:
        """The customer's top-ups with their notes, the newest first, without the openings."""
        c, e, r = t.totals.c, t.events.c, t.reasons.c
        days = select(c.day).where(c.customer == customer, c.kind == TOPUP).distinct()
        found: list[tuple[Event, str]] = []
        with self._db.read() as connection:
            # The sums know the days: no others of millions of events are looked at.
            for day in sorted(connection.scalars(days), reverse=True):
                start = datetime.fromisoformat(day).replace(tzinfo=UTC)
                query = (
                    select(t.events)
                    .where(e.customer == customer, e.kind == TOPUP, e.outcome != OPENING)
                    .where(e.created >= start, e.created < start + timedelta(days=1))
                    .order_by(e.created.desc(), e.id.desc())
                )
                found += [(event_of(row), "") for row in connection.execute(query)]
            notes = select(r.call_id, r.reason).where(r.customer == customer)
            known = {row.call_id: row.reason for row in connection.execute(notes)}
        return [(event, known.get(event.call_id, "")) for event, _ in found]

    def charged_since(self, customer: str, currency: str, month: str) -> int:
        """What `month` and later ones were charged so far: the amount of an opening in it."""
        with self._db.read() as connection:
            return _charged(connection, customer, currency, month)


def paid_in(connection: Connection, customer: str, currency: str) -> int:
    """What a server may spend of the balance in all, counted as `drawn_by_writer` counts; 0 where
    there is none."""
    query = select(func.sum(t.totals.c.amount)).where(*_topups(customer, currency))
    return int(connection.scalar(query) or 0)


def drawn_by_writer(connection: Connection, customer: str, currency: str) -> dict[str, int]:
    """What was charged from the opening month on, by writer; with what it had been charged before
    the opening, which `paid_in` counts too. Nothing where there is no balance."""
    opened = _opened(connection, customer).get(currency)
    if opened is None:
        return {}
    c = t.totals.c
    query = (
        select(c.writer, func.sum(c.amount))
        .where(*_drawn(customer, currency, opened))
        .group_by(c.writer)
    )
    return {writer: int(amount) for writer, amount in connection.execute(query)}


def _opened(connection: Connection, customer: str) -> dict[str, str]:
    """The months in which the customer's balances were opened, by currency."""
    c = t.totals.c
    query = (
        select(c.currency, func.min(c.day))
        .where(c.customer == customer, c.kind == TOPUP, c.outcome == OPENING)
        .group_by(c.currency)
    )
    return {currency: day[:7] for currency, day in connection.execute(query)}


def _account(connection: Connection, customer: str, currency: str, opened: str) -> Account:
    c, h = t.totals.c, t.holds.c
    by = select(c.outcome, func.sum(c.amount)).where(*_topups(customer, currency))
    put = {o: int(amount) for o, amount in connection.execute(by.group_by(c.outcome))}
    before = put.pop(OPENING, 0)
    drawn = _charged(connection, customer, currency, opened) - before
    held = select(func.sum(h.amount)).where(h.customer == customer, h.currency == currency)
    return Account(
        currency,
        opened,
        paid=sum(put.values()),
        drawn=drawn,
        held=int(connection.scalar(held) or 0),
        before=before,
        invoiced={
            outcome.removeprefix(INVOICED): amount
            for outcome, amount in put.items()
            if outcome.startswith(INVOICED)
        },
    )


def _charged(connection: Connection, customer: str, currency: str, month: str) -> int:
    query = select(func.sum(t.totals.c.amount)).where(*_drawn(customer, currency, month))
    return int(connection.scalar(query) or 0)


def _topups(customer: str, currency: str) -> tuple[ColumnElement[bool], ...]:
    c = t.totals.c
    return c.customer == customer, c.currency == currency, c.kind == TOPUP


def _drawn(customer: str, currency: str, opened: str) -> tuple[ColumnElement[bool], ...]:
    """What comes out of a balance that was opened in the month `opened`. The minimum of an earlier
    month is charged when that is closed, perhaps later, and stands on its invoice."""
    c = t.totals.c
    return (
        c.customer == customer,
        c.currency == currency,
        c.kind.in_(_OWED),
        c.day >= f"{opened}-01",
        or_(c.outcome.not_like(f"{MINIMUM}%"), c.outcome >= MINIMUM + opened),
    )
