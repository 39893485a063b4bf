"""Answers that are kept for retries: the same request with the same key gets the same bytes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select

from feilun.store import tables_ledger as t
from feilun.store.columns import now
from feilun.store.database import Database
from feilun.store.ledger_group import idempotent_of
from feilun.store.ledger_records import Idempotent

__all__ = ["Retries"]

_BATCH = 500


class Retries:
    """Looking up kept answers, and letting them go. `Ledger.commit_group` keeps them."""

    _db: Database
    _calls: Database

    def earlier(self, customer: str, key: str) -> Idempotent | None:
        """What the customer's earlier call with this idempotency key was answered, unless its time
        is over."""
        c = t.idempotency.c
        query = select(t.idempotency).where(c.customer == customer, c.key == key)
        with self._calls.read() as connection:
            row = connection.execute(query).first()
        if row is None or row.expires <= now():
            return None
        return idempotent_of(row._mapping)

    def forget_answers(self, moment: datetime | None = None) -> int:
        """Deletes the answers whose time is over at `moment` (default: now); how many."""
        c = t.idempotency.c
        due = select(c.customer, c.key).where(c.expires <= (moment or now())).limit(_BATCH)
        total = 0
        while True:
            # In small transactions, so that no answer waits for this.
            with self._db.write() as connection:
                rows = connection.execute(due).all()
                for row in rows:
                    connection.execute(
                        delete(t.idempotency).where(
                            c.customer == row.customer,
                            c.key == row.key,
                            c.expires <= (moment or now()),
                        )
                    )
            total += len(rows)
            if len(rows) < _BATCH:
                return total
