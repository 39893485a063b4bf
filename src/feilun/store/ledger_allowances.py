"""What servers share of a limit: each takes a slice, in one transaction, and uses it up in memory.

A limit of a month counts what the ledger says, writer by writer; a holder's row says how far that
writer may come. What is taken in all is therefore, summed over writers, the larger of what it has
on record and what its row says, as long as the row is fresh. Nothing is forgotten when a server is
restarted, and the slice of one that was killed comes back by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import time
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from feilun.store import tables_ledger as t
from feilun.store.columns import now
from feilun.store.database import Database
from feilun.store.ledger_balances import Balances, drawn_by_writer, paid_in

__all__ = ["FRESH_SECONDS", "Allowances", "Counted", "Grant"]

FRESH_SECONDS = 30.0
"""How long a holder's row counts without a sign of life."""

_UNLIMITED = 2**62
_COUNTED = ("charge", "settle", "credit")
_GIVEN = "credit"
"""The outcome of a credit that a person gave: it is no use that did not happen."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a limit counts of the ledger: of `customer` in `month` (``2026-11``) the money in
    `currency`, or without one the inputs. With `keys` only what they used: a key, after those whose
    place it took, so that a new key does not begin the month anew. Without a month it is what comes
    out of the balance in `currency`, whose limit is what was put in."""

    customer: str
    month: str
    keys: tuple[str, ...] = ()
    currency: str | None = None

    @property
    def prepaid(self) -> bool:
        """Whether it is what was paid beforehand that is spent, in whichever month."""
        return not self.month


@dataclass(frozen=True, slots=True)
class Grant:
    """What a holder got (`granted`), what is on record of all writers (`spent`), and the limit that
    held."""

    granted: int
    spent: int
    limit: int | None = None


class Allowances(Balances):
    """Slices of limits, over the ledger's database. Safe to call from several processes."""

    def __init__(self, database: Database) -> None:
        self._db = database
        dialect = sqlite if database.sqlite else postgresql
        self._insert = dialect.insert

    def lease(
        self,
        name: str,
        holder: str,
        *,
        holding: int,
        want: int,
        limit: int | None,
        counted: Counted | None = None,
    ) -> Grant:
        """Takes up to `want` of what is left of `limit`.

        `holder` is the writer that will spend it and `holding` what it has taken and not yet put
        on record. Without `counted` the limit counts nothing but what is held (slots).
        """
        with self._db.write() as connection:
            moment = now()
            self._wait_for_turn(connection, name, moment)
            spent = _spent(connection, counted) if counted else {}
            if counted is not None and counted.prepaid:
                limit = paid_in(connection, counted.customer, counted.currency or "")
            rows = connection.execute(
                select(t.allowances.c.holder, t.allowances.c.used).where(
                    t.allowances.c.name == name,
                    t.allowances.c.holder.not_in(("", holder)),
                    t.allowances.c.at > moment - timedelta(seconds=FRESH_SECONDS),
                )
            ).all()
            others = {row.holder: int(row.used) for row in rows}
            mine = spent.get(holder, 0)
            taken = sum(
                max(spent.get(writer, 0), others.get(writer, spent.get(writer, 0)))
                for writer in {*spent, *others} - {holder}
            )
            room = (_UNLIMITED if limit is None else limit) - taken - mine - holding
            granted = max(0, min(want, room))
            self._put(connection, name, holder, mine + holding + granted, moment)
        return Grant(granted, sum(spent.values()), limit)

    def renew(self, holder: str) -> frozenset[str]:
        """A sign of life: the names of all that `holder` still holds."""
        table = t.allowances
        with self._db.write() as connection:
            fresh = now() - timedelta(seconds=FRESH_SECONDS)
            done = connection.execute(
                update(table)
                .where(table.c.holder == holder, table.c.at > fresh)
                .values(at=now())
                .returning(table.c.name)
            )
            return frozenset(done.scalars())

    def release(self, holder: str) -> None:
        """Gives everything back that `holder` holds and has not put on record, and forgets what
        nobody has touched for a day."""
        table = t.allowances
        with self._db.write() as connection:
            connection.execute(delete(table).where(table.c.holder == holder))
            connection.execute(delete(table).where(table.c.at < now() - timedelta(days=1)))

    def take_calls(self, name: str, want: int, rate: float, burst: int) -> tuple[int, float]:
        """Takes up to `want` calls of a bucket of `burst` that fills by `rate` a second: how many,
        and the seconds until it is full again.

        The row holds that moment, in microseconds: one statement takes.
        """
        each = max(1, round(1e6 / rate))
        for count in dict.fromkeys((want, 1)):
            moment = round(time() * 1e6)
            full = self._advance(name, count * each, moment, burst * each)
            if full is not None:
                return count, (full - moment) / 1e6
        with self._db.read() as connection:
            query = select(t.allowances.c.used).where(
                t.allowances.c.name == name, t.allowances.c.holder == ""
            )
            full = connection.scalar(query) or moment
        return 0, max(0.0, (full - moment) / 1e6)

    def volumes(self, customer: str, month: str) -> dict[str, int]:
        """How far `customer` has come in `month` on each line of its prices."""
        query = select(t.volumes.c.line, t.volumes.c.units).where(
            t.volumes.c.customer == customer, t.volumes.c.month == month
        )
        with self._db.read() as connection:
            return {row.line: int(row.units) for row in connection.execute(query)}

    def spent(self, counted: Counted) -> int:
        """What is on record of what `counted` names, open holds too."""
        with self._db.read() as connection:
            return sum(_spent(connection, counted).values())

    def month(self, month: str, customer: str | None = None) -> dict[str, dict[str | None, int]]:
        """What is on record of all customers in `month`, or of `customer`, by customer: the inputs
        under None, the money under its currency, open holds too."""
        c, h = t.totals.c, t.holds.c
        used = (
            select(c.customer, c.currency, func.sum(c.inputs), func.sum(c.amount))
            .where(*_on_record(month))
            .group_by(c.customer, c.currency)
        )
        held = select(h.customer, h.currency, func.sum(h.amount)).group_by(h.customer, h.currency)
        if customer is not None:
            used, held = used.where(c.customer == customer), held.where(h.customer == customer)
        found: dict[str, dict[str | None, int]] = {}
        with self._db.read() as connection:
            for whose, currency, inputs, amount in connection.execute(used):
                counted = found.setdefault(whose, {None: 0})
                counted[None] += int(inputs)
                counted[currency] = int(amount)
            for whose, currency, amount in connection.execute(held):
                counted = found.setdefault(whose, {None: 0})
                counted[currency] = counted.get(currency, 0) + int(amount)
        return found

    def _advance(self, name: str, cost: int, moment: int, size: int) -> int | None:
        table = t.allowances
        begin = case((table.c.used > moment, table.c.used), else_=moment)
        put = self._insert(table).values(name=name, holder="", used=moment + cost, at=now())
        put = put.on_conflict_do_update(
            index_elements=["name", "holder"],
            set_={"used": begin + cost, "at": put.excluded.at},
            where=begin + cost <= moment + size,
        ).returning(table.c.used)
        with self._db.write() as connection:
            found: int | None = connection.execute(put).scalar()
        return found

    def _wait_for_turn(self, connection: Connection, name: str, moment: Any) -> None:
        """Until the transaction ends nobody else takes of `name`."""
        self._put(connection, name, "", 0, moment)

    def _put(self, connection: Connection, name: str, holder: str, used: int, moment: Any) -> None:
        put = self._insert(t.allowances).values(name=name, holder=holder, used=used, at=moment)
        put = put.on_conflict_do_update(
            index_elements=["name", "holder"],
            set_={"used": put.excluded.used, "at": put.excluded.at},
        )
        connection.execute(put)


def _spent(connection: Connection, counted: Counted) -> Mapping[str, int]:
    """What is on record, by writer."""
    c = t.totals.c
    found: dict[str, int] = {}
    if counted.prepaid:
        found = drawn_by_writer(connection, counted.customer, counted.currency or "")
        return _with_holds(connection, counted, found)
    what = c.inputs if counted.currency is None else c.amount
    query = (
        select(c.writer, func.sum(what))
        .where(c.customer == counted.customer, *_on_record(counted.month))
        .group_by(c.writer)
    )
    if counted.keys:
        query = query.where(c.key_id.in_(counted.keys))
    if counted.currency is not None:
        query = query.where(c.currency == counted.currency)
    found = {writer: int(total) for writer, total in connection.execute(query)}
    return _with_holds(connection, counted, found)


def _with_holds(
    connection: Connection, counted: Counted, found: dict[str, int]
) -> Mapping[str, int]:
    """`found` with what open holds reserve of the money."""
    if counted.currency is None:
        return found
    h = t.holds.c
    held = (
        select(h.writer, func.sum(h.amount))
        .where(h.customer == counted.customer, h.currency == counted.currency)
        .group_by(h.writer)
    )
    if counted.keys:
        held = held.where(h.key_id.in_(counted.keys))
    for writer, total in connection.execute(held):
        found[writer] = found.get(writer, 0) + int(total)
    return found


def _on_record(month: str) -> tuple[ColumnElement[bool], ...]:
    """What counts in `month`. What is charged for an earlier month (its minimum, a re-rating) names
    that month after a colon, and is no use of this one."""
    c = t.totals.c
    return (
        c.day >= f"{month}-01",
        c.day <= f"{month}-31",
        c.kind.in_(_COUNTED),
        c.outcome != _GIVEN,
        c.outcome.not_like("%:%"),
    )
