"""Sums of the ledger's events, read from where they are kept beside the events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, String, Table, cast, func, literal, select

from feilun.store import tables_ledger as t
from feilun.store.database import Database
from feilun.store.ledger_records import Event, UsageRow
from feilun.store.ledger_rows import UNITS

__all__ = ["Dimension", "Totals", "event_of"]

Dimension = Literal[
    "project",
    "customer",
    "key_id",
    "endpoint",
    "model_version",
    "data_version",
    "price_version",
    "outcome",
    "kind",
    "day",
]
"""What usage can be summed by. ``day`` is the date in UTC, ``2026-01-31``."""

COUNTED = ("charge", "settle", "credit")
"""Kinds of events that are owed. A hold is a promise that settle or release answers: counting it
would count its call twice."""

_RARE = ("tokens_out", "audio_ms")  # shown only where there are any
_SUMMED = (*UNITS, "amount", "cost", "engine_us", "events")
_DAY = timedelta(days=1)


class Totals:
    """Reading sums. They are advanced in the commits of their events, and equal them exactly."""

    _db: Database

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

        Counts charges, settlements and credits; open holds are not owed yet. Whole days come from
        the sums, so that a month is read in milliseconds however many its calls were; of days
        that `since` or `until` cut, the events themselves are summed.
        """
        asked = {"customer": customer, "project": project, "key_id": key_id}
        only = {name: value for name, value in asked.items() if value is not None}
        first, last, edges = _days(since, until)
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        day = t.totals.c.day
        chosen = [first is None or day >= literal(first), last is None or day < literal(last)]
        with self._db.read() as connection:
            if first is None or last is None or first < last:
                _sum(connection, found, t.totals, by, only, [w for w in chosen if w is not True])
            for begin, end in edges:
                created = t.events.c.created
                _sum(connection, found, t.events, by, only, [created >= begin, created < end])
        return [_row(by, key, found[key]) for key in sorted(found, key=_order)]

    def first_event(self) -> datetime | None:
        """When the ledger's earliest event was written; None where there is none."""
        with self._db.read() as connection:
            found: datetime | None = connection.execute(
                select(func.min(t.events.c.created))
            ).scalar()
        return found


def _days(
    since: datetime | None, until: datetime | None
) -> tuple[str | None, str | None, list[tuple[datetime, datetime]]]:
    """The first whole day, the day after the last one, and the parts of days around them."""
    edges = []
    first = last = None
    begin = end = None
    if since is not None:
        since = since.astimezone(UTC)
        begin = _midnight(since) + (_DAY if since != _midnight(since) else timedelta())
        first = begin.date().isoformat()
    if until is not None:
        until = until.astimezone(UTC)
        end = _midnight(until)
        last = end.date().isoformat()
    if since is not None and until is not None and begin is not None and begin > until:
        return first, last, [(since, until)] if since < until else []
    if since is not None and begin is not None and since < begin:
        edges.append((since, begin))
    if until is not None and end is not None and end < until:
        edges.append((end, until))
    return first, last, edges


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time(), UTC)


def _sum(
    connection: Connection,
    found: dict[tuple[Any, ...], dict[str, Any]],
    table: Table,
    by: Sequence[str],
    only: Mapping[str, str],
    chosen: Sequence[Any],
) -> None:
    c = table.c
    dimensions = [_dimension(table, name).label(f"by_{name}") for name in by]
    dimensions.append(c.currency.label("by_currency"))
    where = [c.kind.in_(COUNTED), *chosen, *(c[name] == value for name, value in only.items())]
    sums = [
        func.count() if name == "events" and table is t.events else func.sum(c[name])
        for name in _SUMMED
    ]
    query = select(*dimensions, *sums).where(*where).group_by(*dimensions)
    width = len(dimensions)
    for row in connection.execute(query):
        group = found.setdefault(tuple(row[:width]), {"more": {}})
        for name, count in zip(_SUMMED, row[width:], strict=True):
            # PostgreSQL sums big integers into decimals.
            group[name] = group.get(name, 0) + int(count)
    more = select(*dimensions, c.more_units).where(*where, c.more_units.is_not(None))
    for *key, units in connection.execute(more):
        group = found[tuple(key)]["more"]
        for unit, count in units.items():
            group[unit] = group.get(unit, 0) + count


def _dimension(table: Table, name: str) -> ColumnElement[Any]:
    if table is t.totals:
        return table.c[name]
    if name == "day":
        return func.substr(cast(table.c.created, String), 1, 10)
    column = table.c[name]
    return (
        func.coalesce(column, 0 if name == "price_version" else "") if column.nullable else column
    )


def _order(key: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(map(str, key))


def _shown(units: Mapping[str, int]) -> dict[str, int]:
    """Without the rare ones that are none."""
    return {unit: count for unit, count in units.items() if count or unit not in _RARE}


def event_of(row: Row[Any]) -> Event:
    """A row of the table ``events``."""
    values = dict(row._mapping)
    units = _shown({unit: values.pop(unit) for unit in UNITS})
    return Event(**values | {"units": units | (values.pop("more_units") or {})})


def _row(by: Sequence[str], key: tuple[Any, ...], sums: Mapping[str, Any]) -> UsageRow:
    *values, currency = key
    units = dict(sums["more"])
    for unit in UNITS:  # an older feilun knew some of them by name alone
        units[unit] = units.get(unit, 0) + sums[unit]
    return UsageRow(
        by={
            # What an event leaves out is '' or 0 among the sums.
            name: (value or None) if name not in ("project", "endpoint") else value
            for name, value in zip(by, values, strict=True)
        },
        currency=currency,
        units=_shown({unit: units.pop(unit) for unit in UNITS}) | units,
        amount=sums["amount"],
        cost=sums["cost"],
        engine_us=sums["engine_us"],
        events=sums["events"],
    )
