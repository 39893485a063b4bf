"""The ledger: what was answered, for whom, by which version, at what price and cost.

Events are append-only, and the databases themselves refuse to change them. Beside them, written in
the same commit, stand the predictions: what feedback and review read, and what may be deleted.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, Select, String, cast, func, insert, select
from sqlalchemy.exc import IntegrityError

from feilun.errors import Conflict
from feilun.store import tables_ledger as t
from feilun.store.blobs import Blobs
from feilun.store.columns import now
from feilun.store.database import Database
from feilun.store.ids import new_id
from feilun.store.inputs import pack
from feilun.store.ledger_voices import VoiceLog
from feilun.store.records import Event, Prediction, UsageRow

__all__ = ["Dimension", "Ledger"]

Dimension = Literal[
    "project", "customer", "key_id", "endpoint", "model_version", "data_version", "outcome", "day"
]
"""What usage can be summed by. ``day`` is the date in UTC, ``2026-01-31``."""

_UNITS = ("calls", "inputs", "tokens", "pixels", "tokens_out", "audio_ms")
_RARE = ("tokens_out", "audio_ms")  # shown only where there are any
# A hold is a promise that settle or release answers: counting it would count its call twice.
_COUNTED = ("charge", "settle", "credit")


class Ledger(VoiceLog):
    """Events, predictions and feedback. Safe to call from threads and from several processes."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        super().__init__(database, blobs)
        self._writer = f"{platform.node()}:{os.getpid()}"

    def commit(self, events: Sequence[Event], predictions: Sequence[Prediction] = ()) -> None:
        """Writes the events and predictions of one or many calls in one transaction.

        When this returns they are on record; when it raises, none of them is. Raises `Conflict`
        when a (call_id, seq) or a (prediction_id, index) is on record already, and
        `EnvironmentProblem` when the disk is full or another writer does not let go.
        """
        moment = now()
        lines = [self._line(event, moment) for event in events]
        rows, blobs = self._rows(predictions, moment)
        try:
            with self._db.write() as connection:
                if lines:
                    connection.execute(insert(t.events), lines)
                if rows:
                    connection.execute(insert(t.predictions), rows)
                if blobs:
                    connection.execute(insert(t.prediction_blobs), blobs)
        except IntegrityError:
            raise Conflict(
                "store.call_on_record", calls=sorted({event.call_id for event in events})[:5] or "-"
            ) from None

    def events(
        self,
        *,
        call_id: str | None = None,
        customer: str | None = None,
        project: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Event]:
        """Events in the order they were written, streamed; `until` is not included."""
        query = _chosen(
            select(t.events).order_by(t.events.c.id),
            {"call_id": call_id, "customer": customer, "project": project},
            since,
            until,
        )
        # Closed by name: who stops reading early leaves no cursor behind.
        with (
            self._db.read() as connection,
            connection.execution_options(yield_per=1000).execute(query) as rows,
        ):
            for row in rows:
                yield _event(row)

    def usage(
        self,
        *,
        customer: str | None = None,
        project: str | None = None,
        key_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        by: Sequence[Dimension] = ("project",),
    ) -> list[UsageRow]:
        """Sums of what was used and is owed, one row for each value of `by` and each currency.

        Counts charges, settlements and credits; open holds are not owed yet.
        """
        day = func.substr(cast(t.events.c.created, String), 1, 10)
        dimensions = [(day if name == "day" else t.events.c[name]).label(name) for name in by] + [
            t.events.c.currency.label("currency_")
        ]
        c = t.events.c
        sums = [
            *(func.sum(c[unit]).label(unit) for unit in _UNITS),
            func.sum(c.amount).label("amount"),
            func.sum(c.cost).label("cost"),
            func.sum(c.engine_us).label("engine_us"),
            func.count().label("events"),
        ]
        only = {"customer": customer, "project": project, "key_id": key_id}
        counted = c.kind.in_(_COUNTED)
        query = _chosen(select(*dimensions, *sums).where(counted), only, since, until)
        more = _chosen(
            select(*dimensions, c.more_units).where(counted, c.more_units.is_not(None)),
            only,
            since,
            until,
        )
        with self._db.read() as connection:
            rows = connection.execute(query.group_by(*dimensions).order_by(*dimensions)).all()
            others: dict[tuple[Any, ...], dict[str, int]] = {}
            for *group, units in connection.execute(more):
                total = others.setdefault(tuple(group), {})
                for unit, count in units.items():
                    total[unit] = total.get(unit, 0) + count
        return [_usage(row, by, others.get(tuple(row[: len(dimensions)]), {})) for row in rows]

    def counts(self, project: str | None = None) -> dict[str, int]:
        """How many ``events``, ``predictions``, ``inputs`` (still stored), ``feedback``, and
        ``waiting`` (feedback that counts and no data version has learned)."""
        only = {"project": project}
        kept = t.predictions.c.stored & ~t.predictions.c.purged
        queries = {
            "events": _chosen(select(func.count()).select_from(t.events), only),
            "predictions": _chosen(
                select(func.count()).select_from(t.predictions), only, table=t.predictions
            ),
            "inputs": _chosen(
                select(func.count()).select_from(t.predictions).where(kept),
                only,
                table=t.predictions,
            ),
            "feedback": _chosen(
                select(func.count()).select_from(t.feedback), only, table=t.feedback
            ),
        }
        with self._db.read() as connection:
            found = {name: connection.scalar(query) or 0 for name, query in queries.items()}
        return found | {"waiting": self.waiting(project)}

    def _line(self, event: Event, moment: datetime) -> dict[str, Any]:
        units = dict(event.units)
        return {
            "id": event.id or new_id(),
            "call_id": event.call_id,
            "seq": event.seq,
            "kind": event.kind,
            **{unit: units.pop(unit, 0) for unit in _UNITS},
            "more_units": units or None,
            "price_version": event.price_version,
            "amount": event.amount,
            "currency": event.currency,
            "customer": event.customer,
            "key_id": event.key_id,
            "project": event.project,
            "endpoint": event.endpoint,
            "model_version": event.model_version,
            "data_version": event.data_version,
            "writer": event.writer or self._writer,
            "cost": event.cost,
            "engine_us": event.engine_us,
            "outcome": event.outcome,
            "created": event.created or moment,
        }

    def _rows(
        self, predictions: Sequence[Prediction], moment: datetime
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        rows: list[dict[str, Any]] = []
        blobs: list[dict[str, Any]] = []
        for one in predictions:
            text = digest = None
            if one.stored:
                text, digest, names = pack(one.input, self._blobs)
                blobs += [
                    {"hash": name, "prediction_id": one.prediction_id, "index": one.index}
                    for name in dict.fromkeys(names)
                ]
            rows.append(
                {
                    "prediction_id": one.prediction_id,
                    "index": one.index,
                    "input": text,
                    "input_hash": digest,
                    "output": one.output,
                    "label": one.label,
                    "score": one.score,
                    "margin": one.margin,
                    "model_version": one.model_version,
                    "project": one.project,
                    "customer": one.customer,
                    "key_id": one.key_id,
                    "created": one.created or moment,
                    "expires": one.expires,
                    "stored": one.stored,
                    "purged": False,
                }
            )
        return rows, blobs


def _chosen(
    query: Select[Any],
    only: dict[str, str | None],
    since: datetime | None = None,
    until: datetime | None = None,
    table: Any = t.events,
) -> Select[Any]:
    for name, value in only.items():
        if value is not None:
            query = query.where(table.c[name] == value)
    if since is not None:
        query = query.where(table.c.created >= since)
    if until is not None:
        query = query.where(table.c.created < until)
    return query


def _event(row: Row[Any]) -> Event:
    values = dict(row._mapping)
    units = _shown({unit: values.pop(unit) for unit in _UNITS})
    return Event(**values | {"units": units | (values.pop("more_units") or {})})


def _shown(units: dict[str, int]) -> dict[str, int]:
    return {unit: count for unit, count in units.items() if count or unit not in _RARE}


def _usage(row: Row[Any], by: Sequence[str], more: dict[str, int]) -> UsageRow:
    values = row._mapping
    # PostgreSQL sums big integers into decimals.
    return UsageRow(
        by={name: values[name] for name in by},
        currency=values["currency_"],
        units=_shown({unit: int(values[unit]) for unit in _UNITS}) | more,
        amount=int(values["amount"]),
        cost=int(values["cost"]),
        engine_us=int(values["engine_us"]),
        events=int(values["events"]),
    )
