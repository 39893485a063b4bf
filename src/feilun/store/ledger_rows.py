"""Rows of a group commit: events with their amounts, and the sums that they add to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import add, itemgetter
from typing import Any

from feilun.store import tables_ledger as t
from feilun.store.ids import new_id
from feilun.store.ledger_chain import EVENT_COLUMNS
from feilun.store.ledger_records import Event

__all__ = ["DIMENSIONS", "SUMS", "UNITS", "Place", "add_up", "amounts", "event_row", "volumes_of"]

UNITS = ("calls", "inputs", "tokens", "pixels", "tokens_out", "audio_ms")
"""The units that have columns of their own."""

DIMENSIONS: tuple[str, ...] = tuple(column.name for column in t.totals.primary_key.columns)
"""What sums are kept by; first the `day` of the event. What it leaves out is '' or 0 there."""

SUMS = ("events", *UNITS, "more_units", "amount", "cost", "engine_us")
"""What is summed."""

Place = tuple[str, str, str]
"""Where a volume counts: customer, month, line of the prices."""

_RATED = ("charge", "settle", "credit")
_AT = {name: place for place, name in enumerate(EVENT_COLUMNS)}
_UNIT_SET = frozenset(UNITS)
_EMPTY = [0 if name == "price_version" else "" for name in DIMENSIONS[1:]]
_NUMBERS = [name for name in SUMS if name not in ("events", "more_units")]
_dimensions = itemgetter(*(_AT[name] for name in DIMENSIONS[1:]))
_numbers = itemgetter(*(_AT[name] for name in _NUMBERS))
_MORE_AT, _CREATED_AT = _AT["more_units"], _AT["created"]


def volumes_of(events: Iterable[Event], month: str) -> dict[Place, int]:
    """How many units the events add to each place, by the month they belong to (`month` where an
    event has no time yet)."""
    needed: dict[Place, int] = {}
    for event in events:
        for place, units in _places(event, month):
            needed[place] = needed.get(place, 0) + units
    return needed


def amounts(events: Iterable[Event], month: str, before: dict[Place, int]) -> list[int]:
    """What each event comes to, from where the volumes stand `before`; they are counted on."""
    found = []
    for event in events:
        if not _is_rated(event):
            found.append(event.amount)
            continue
        amount = 0
        for rated, (place, units) in zip(event.rates, _places(event, month), strict=True):
            amount += rated.tariff.amount(before[place], units)
            before[place] += units
        found.append(amount)
    return found


def _is_rated(event: Event) -> bool:
    return bool(event.rates) and event.kind in _RATED


def _places(event: Event, month: str) -> list[tuple[Place, int]]:
    if not _is_rated(event):
        return []
    if event.created is not None:
        month = event.created.date().isoformat()[:7]
    customer = event.customer or ""
    return [((customer, month, rated.line), rated.units) for rated in event.rates]


def event_row(event: Event, amount: int, moment: datetime, writer: str, link: int) -> list[Any]:
    """The event as a row of `EVENT_COLUMNS`."""
    units = event.units
    more = None
    if not units.keys() <= _UNIT_SET:
        more = {name: units[name] for name in sorted(units) if name not in _UNIT_SET}
    get = units.get
    return [
        event.id or new_id(),
        event.call_id,
        event.seq,
        event.kind,
        get("calls", 0),
        get("inputs", 0),
        get("tokens", 0),
        get("pixels", 0),
        get("tokens_out", 0),
        get("audio_ms", 0),
        more,
        event.price_version,
        amount,
        event.currency,
        event.customer,
        event.key_id,
        event.project,
        event.endpoint,
        event.model_version,
        event.data_version,
        writer,
        event.cost,
        event.engine_us,
        event.outcome,
        event.created or moment,
        link,
    ]


def add_up(rows: Iterable[Sequence[Any]]) -> dict[tuple[Any, ...], list[Any]]:
    """The sums of event rows by `DIMENSIONS`, each a list in the order of `SUMS`."""
    raw: dict[tuple[Any, ...], tuple[int, ...]] = {}
    more: dict[tuple[Any, ...], dict[str, int]] = {}
    nothing = (0,) * (1 + len(_NUMBERS))
    for row in rows:
        key = (row[_CREATED_AT].date(), *_dimensions(row))
        raw[key] = tuple(map(add, raw.get(key, nothing), (1, *_numbers(row))))
        if row[_MORE_AT] is not None:
            into = more.setdefault(key, {})
            for name, count in row[_MORE_AT].items():
                into[name] = into.get(name, 0) + count
    found: dict[tuple[Any, ...], list[Any]] = {}
    for key, numbers in raw.items():
        sums: list[Any] = list(numbers)
        sums.insert(SUMS.index("more_units"), more.get(key, {}))
        # Only here, because there are fewer keys than rows.
        found[key[0].isoformat(), *map(_given, _EMPTY, key[1:])] = sums
    return found


def _given(empty: Any, value: Any) -> Any:
    return empty if value is None else value
