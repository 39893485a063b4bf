"""Holds: money that a long call keeps aside until it settles or releases.

A hold ends by ``settle`` (the final amount), by ``release`` (nothing is owed), or by itself when
its time is over: a process that was killed in the middle leaves nothing held for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import func, select

from feilun.store import tables_ledger as t
from feilun.store.columns import now
from feilun.store.database import Database
from feilun.store.ledger_records import Event
from feilun.store.ledger_totals import event_of

__all__ = ["Hold", "Holds"]


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold that stands: `amount` micro-units of `currency`, until it ends by itself."""

    call_id: str
    customer: str | None
    key_id: str | None
    amount: int
    currency: str
    writer: str
    created: datetime
    expires: datetime


class Holds:
    """Reading the holds that stand. `Ledger.commit_group` begins and ends them."""

    _db: Database

    def holds(self, *, customer: str | None = None, key_id: str | None = None) -> list[Hold]:
        """The holds that stand, oldest first."""
        c = t.holds.c
        query = select(t.holds).order_by(c.created, c.call_id)
        if customer is not None:
            query = query.where(c.customer == customer)
        if key_id is not None:
            query = query.where(c.key_id == key_id)
        with self._db.read() as connection:
            return [Hold(**row._mapping) for row in connection.execute(query)]

    def held(self, *, customer: str | None = None, key_id: str | None = None) -> dict[str, int]:
        """What is held in all, by currency: it counts against budgets as if it were owed."""
        c = t.holds.c
        query = select(c.currency, func.sum(c.amount)).group_by(c.currency)
        if customer is not None:
            query = query.where(c.customer == customer)
        if key_id is not None:
            query = query.where(c.key_id == key_id)
        with self._db.read() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(query)}

    def expired_holds(self, moment: datetime | None = None, most: int = 200) -> list[Event]:
        """The ``hold`` events of at most `most` holds whose time is over at `moment` (default:
        now), each with `seq` set to the last of its call."""
        c, e = t.holds.c, t.events.c
        due = (
            select(c.call_id)
            .where(c.expires <= (moment or now()))
            .order_by(c.expires, c.call_id)
            .limit(most)
        )
        with self._db.read() as connection:
            ids = list(connection.scalars(due))
            begun = select(t.events).where(e.call_id.in_(ids), e.kind == "hold").order_by(e.id)
            found = [event_of(row) for row in connection.execute(begun)]
            last = select(e.call_id, func.max(e.seq)).where(e.call_id.in_(ids)).group_by(e.call_id)
            seqs = {row[0]: row[1] for row in connection.execute(last)}
        return [replace(event, seq=seqs[event.call_id]) for event in found]
