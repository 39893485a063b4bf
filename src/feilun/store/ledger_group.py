"""The group commit: what many calls write into the ledger in one transaction.

Locks are taken in one order everywhere (keys of retries, holds, volumes; each sorted), so that
servers on one PostgreSQL wait for one another and never block one another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, tuple_

from feilun.errors import Gone, InvalidData
from feilun.store import tables_ledger as t
from feilun.store.blobs import Blobs
from feilun.store.bulk import Insert, driven
from feilun.store.database import Database
from feilun.store.inputs import pack
from feilun.store.ledger_chain import Head, link_hash
from feilun.store.ledger_records import CallOutcome, Idempotent, LedgerCall, Prediction
from feilun.store.ledger_rows import (
    DIMENSIONS,
    SUMS,
    Place,
    add_up,
    amounts,
    event_row,
    volumes_of,
)

__all__ = ["HOLD", "GroupWriter", "idempotent_of"]

HOLD = timedelta(hours=1)
"""How long a hold stands that says nothing else."""

_ANSWERS = ("settle", "release")  # what ends a hold
_KEY = ("customer", "key")


class GroupWriter:
    """The statements of a group commit on one database, made once."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._blobs = blobs
        self._events = Insert(database, t.events)
        self._links = Insert(database, t.links)
        self._predictions = Insert(database, t.predictions)
        self._blob_rows = Insert(database, t.prediction_blobs)
        self._holds = Insert(database, t.holds)
        self._totals = Insert(database, t.totals, _totals_tail())
        self._keys = Insert(database, t.idempotency, _keys_tail())
        self._volumes = _VOLUMES_SQLITE if database.sqlite else _VOLUMES_POSTGRES

    def write(
        self,
        connection: Connection,
        calls: Sequence[LedgerCall],
        head: Head,
        moment: datetime,
        more: dict[tuple[Any, ...], dict[str, int]],
    ) -> tuple[list[CallOutcome], Head]:
        """Writes `calls` as the link after `head`; what became of each, and the new head. `more`
        are the writer's sums of units without a column, counted on."""
        outcomes: list[CallOutcome | None] = [None] * len(calls)
        self._claim_keys(connection, calls, outcomes, moment)
        self._forget_answers(connection, calls)
        self._begin_holds(connection, calls, outcomes, head.writer, moment)
        self._end_holds(connection, calls, outcomes)
        going = [call for call, outcome in zip(calls, outcomes, strict=True) if outcome is None]
        events = [event for call in going for event in call.events]
        month = moment.date().isoformat()[:7]
        before = self._advance(connection, volumes_of(events, month))
        found = amounts(events, month, before)
        if events:
            number = head.number + 1
            rows = [
                event_row(event, amount, moment, head.writer, number)
                for event, amount in zip(events, found, strict=True)
            ]
            head = self._write_events(connection, rows, head, moment)
            self._write_totals(connection, rows, more)
        self._write_predictions(connection, going, moment)
        place = 0
        for index, call in enumerate(calls):
            if outcomes[index] is None:
                end = place + len(call.events)
                outcomes[index] = CallOutcome(tuple(found[place:end]), moment)
                place = end
        return [outcome for outcome in outcomes if outcome is not None], head

    def _claim_keys(
        self,
        connection: Connection,
        calls: Sequence[LedgerCall],
        outcomes: list[CallOutcome | None],
        moment: datetime,
    ) -> None:
        """Keeps the answers of those calls whose key has none yet; the others get what is there."""
        first: dict[tuple[str, str], Idempotent] = {}
        for call in calls:
            if call.idempotent is not None:
                first.setdefault((call.idempotent.customer, call.idempotent.key), call.idempotent)
        if not first:
            return
        claims = [first[key] for key in sorted(first)]
        rows = [
            (one.customer, one.key, one.fingerprint, one.call_id, one.body, moment, one.expires)
            for one in claims
        ]
        if self._keys.run(connection, rows) != len(rows):
            c = t.idempotency.c
            query = select(t.idempotency).where(tuple_(c.customer, c.key).in_(list(first)))
            for row in connection.execute(query):
                first[row.customer, row.key] = idempotent_of(row._mapping)
        for index, call in enumerate(calls):
            own = call.idempotent
            if own is None:
                continue
            winner = first[own.customer, own.key]
            if winner.call_id != own.call_id:
                outcomes[index] = _lost(own, winner)

    def _forget_answers(self, connection: Connection, calls: Sequence[LedgerCall]) -> None:
        for call in calls:
            if call.withdraws is not None:
                self._give_up_key(connection, call.withdraws)

    def _begin_holds(
        self,
        connection: Connection,
        calls: Sequence[LedgerCall],
        outcomes: list[CallOutcome | None],
        writer: str,
        moment: datetime,
    ) -> None:
        rows = [
            (
                event.call_id,
                event.customer,
                event.key_id,
                event.amount,
                event.currency,
                writer,
                moment,
                call.hold_until or moment + HOLD,
            )
            for call, outcome in zip(calls, outcomes, strict=True)
            if outcome is None
            for event in call.events
            if event.kind == "hold"
        ]
        if rows:
            self._holds.run(connection, sorted(rows, key=lambda row: row[0]))

    def _end_holds(
        self,
        connection: Connection,
        calls: Sequence[LedgerCall],
        outcomes: list[CallOutcome | None],
    ) -> None:
        """Takes away the holds that calls settle or release; a call whose hold has ended already is
        refused."""
        ends = {
            event.call_id: index
            for index, call in reversed(list(enumerate(calls)))
            if outcomes[index] is None
            for event in call.events
            if event.kind in _ANSWERS
        }
        if not ends:
            return
        c = t.holds.c
        query = select(c.call_id).where(c.call_id.in_(ends)).order_by(c.call_id).with_for_update()
        open_ = set(connection.scalars(query))
        connection.execute(delete(t.holds).where(c.call_id.in_(open_)))
        for index, call in enumerate(calls):
            if outcomes[index] is not None:
                continue
            for event in call.events:
                # Of two in one group that end the same hold, the first does.
                if event.kind in _ANSWERS and (
                    event.call_id not in open_ or ends[event.call_id] != index
                ):
                    outcomes[index] = CallOutcome(error=Gone("store.hold_ended", id=event.call_id))
                    self._give_up_key(connection, call.idempotent)
                    break

    def _give_up_key(self, connection: Connection, claim: Idempotent | None) -> None:
        if claim is not None:
            c = t.idempotency.c
            connection.execute(
                delete(t.idempotency).where(
                    c.customer == claim.customer,
                    c.key == claim.key,
                    c.call_id == claim.call_id,
                )
            )

    def _advance(self, connection: Connection, needed: dict[Place, int]) -> dict[Place, int]:
        """Counts the volumes on; where each stood before."""
        if not needed:
            return {}
        rows = [[*place, units] for place, units in sorted(needed.items())]
        with driven(connection, self._volumes) as cursor:
            done = cursor.execute(self._volumes, (json.dumps(rows),)).fetchall()
        return {
            (customer, month, line): units - needed[customer, month, line]
            for customer, month, line, units in done
        }

    def _write_events(
        self, connection: Connection, rows: list[list[Any]], head: Head, moment: datetime
    ) -> Head:
        rows.sort(key=lambda row: str(row[0]))
        day = moment.date().isoformat()
        previous = head.previous(day)
        now = Head(head.writer, head.number + 1, day, link_hash(previous, rows))
        self._events.run(connection, rows)
        link = (now.writer, day, now.number, previous, now.hash, len(rows), moment)
        self._links.run(connection, [link])
        return now

    def _write_totals(
        self,
        connection: Connection,
        rows: list[list[Any]],
        more: dict[tuple[Any, ...], dict[str, int]],
    ) -> None:
        lines = []
        at = SUMS.index("more_units")
        for key, sums in sorted(add_up(rows).items()):
            if sums[at]:
                so_far = more.setdefault(key, {})
                for name, count in sums[at].items():
                    so_far[name] = so_far.get(name, 0) + count
            sums[at] = more.get(key) if more else None
            lines.append((*key, *sums))
        self._totals.run(connection, lines)

    def _write_predictions(
        self, connection: Connection, calls: Sequence[LedgerCall], moment: datetime
    ) -> None:
        rows: list[tuple[Any, ...]] = []
        blobs: list[tuple[str, str, int]] = []
        for call in calls:
            for one in call.predictions:
                rows.append(self._prediction(one, moment, blobs))
        if rows:
            self._predictions.run(connection, rows)
        if blobs:
            self._blob_rows.run(connection, blobs)

    def _prediction(
        self, one: Prediction, moment: datetime, blobs: list[tuple[str, str, int]]
    ) -> tuple[Any, ...]:
        text = digest = None
        if one.stored:
            text, digest, names = pack(one.input, self._blobs)
            blobs += [(name, one.prediction_id, one.index) for name in dict.fromkeys(names)]
        return (
            one.prediction_id,
            one.index,
            text,
            digest,
            one.output,
            one.label,
            one.score,
            one.margin,
            one.model_version,
            one.project,
            one.customer,
            one.key_id,
            one.created or moment,
            one.expires,
            one.stored,
            False,
        )


def idempotent_of(values: Any) -> Idempotent:
    """A row of the table ``idempotency``."""
    return Idempotent(**{name: value for name, value in values.items() if name != "created"})


def _lost(own: Idempotent, winner: Idempotent) -> CallOutcome:
    if own.fingerprint != winner.fingerprint:
        return CallOutcome(error=InvalidData("store.idempotency_key_reused", key=own.key))
    return CallOutcome(earlier=winner)


def _keys_tail() -> str:
    """An answer whose time is over makes room; another stays."""
    values = [column.name for column in t.idempotency.c if column.name not in _KEY]
    put = ", ".join(f"{name} = excluded.{name}" for name in values)
    return (
        f"ON CONFLICT (customer, key) DO UPDATE SET {put} "
        "WHERE idempotency.expires <= excluded.created"
    )


def _totals_tail() -> str:
    put = ", ".join(
        f"{name} = excluded.{name}"
        if name == "more_units"
        else f"{name} = totals.{name} + excluded.{name}"
        for name in SUMS
    )
    return f"ON CONFLICT ({', '.join(DIMENSIONS)}) DO UPDATE SET {put}"


# One statement for any number of rows, so that a group waits for one answer of the database.
_VOLUMES = (
    "INSERT INTO volumes (customer, month, line, units) SELECT {} ON CONFLICT (customer, month, "
    "line) DO UPDATE SET units = volumes.units + excluded.units "
    "RETURNING customer, month, line, units"
)
_VOLUMES_SQLITE = _VOLUMES.format(
    ", ".join(f"json_extract(value, '$[{place}]')" for place in range(4))
    # Without a WHERE, SQLite takes ON for a join's.
    + " FROM json_each(?) WHERE true"
)
_VOLUMES_POSTGRES = _VOLUMES.format(
    "r->>0, r->>1, r->>2, (r->>3)::bigint FROM json_array_elements(%s::json) AS r"
)
