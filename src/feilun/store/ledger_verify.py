"""Does the ledger still say what was written? Hashes and sums, computed again from the events.

Events are streamed in the order of their ids, which is the order of time; a day's links are in
memory while its events pass. What is found is said with the event, the writer and the link.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Select, String, cast, func, select

from feilun.messages import t as say
from feilun.store import tables_ledger as t
from feilun.store.database import Database
from feilun.store.ledger_chain import EARLIER, EVENT_COLUMNS, canonical, genesis
from feilun.store.ledger_roots import Root, root_of
from feilun.store.ledger_rows import DIMENSIONS, SUMS

__all__ = ["Fault", "Verification", "check_roots", "verify"]

MOST_FAULTS = 100
"""Faults that are told one by one; the others are counted."""

_DAY = timedelta(days=1)
_AT = {name: place for place, name in enumerate(EVENT_COLUMNS)}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was written. `code` is its sentence among the messages; what is
    not known of `day`, `writer`, `link` and `event` is empty."""

    code: str
    day: str = ""
    writer: str = ""
    link: int | None = None
    event: str = ""
    detail: str = ""

    def text(self) -> str:
        """In words."""
        return say(
            self.code,
            day=self.day,
            writer=self.writer,
            link=self.link,
            event=self.event,
            detail=self.detail,
        )


@dataclass(slots=True)
class Verification:
    """What was looked at, and what is wrong (`found` in all, `faults` the first of them)."""

    days: int = 0
    links: int = 0
    events: int = 0
    roots: int = 0
    found: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.found

    def add(self, fault: Fault) -> None:
        """One more."""
        self.found += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)


def verify(
    database: Database, *, day: str | None = None, exported: Mapping[str, Root] | None = None
) -> Verification:
    """Computes every hash and every sum again, of `day` (``2026-11-22``) or of all days, and
    compares the days' roots with the ledger's own and with the `exported` ones. It sees the ledger
    as of one moment, and keeps nobody waiting. Some 45,000 events a second."""
    result = Verification()
    with database.read() as plain:
        connection = plain
        if not database.sqlite:
            connection = plain.execution_options(isolation_level="REPEATABLE READ")
        _Chains(connection, result, day).run()
        for one in [day] if day else _days(connection):
            _sums(connection, result, one)
        _roots(connection, result, day, exported or {})
    return result


@dataclass(slots=True)
class _Link:
    day: str
    hash: str
    events: int
    digest: Any
    seen: int = 0
    first: str = ""


def _link(row: Any) -> _Link:
    return _Link(row.day, row.hash, row.events, sha256(bytes.fromhex(row.previous)))


class _Chains:
    """The stream of events against the links of their days."""

    def __init__(self, connection: Connection, result: Verification, day: str | None) -> None:
        self._connection = connection
        self._result = result
        self._only = day
        self._links: dict[tuple[str, int], _Link] = {}
        self._last: dict[str, int] = {}
        query = select(t.links).where(t.links.c.writer == EARLIER)
        row = connection.execute(query).first()
        self._earlier = None if row is None else _link(row)

    def run(self) -> None:
        c = t.events.c
        every = query = select(*(c[name] for name in EVENT_COLUMNS)).order_by(c.id)
        if self._only:
            # A commit of the day's last moment gives ids of the next day's first.
            later = _first_id_of(self._only, 2)
            query = query.where(c.id >= _first_id_of(self._only), c.id < later)
        waiting = self._days_with_links()
        upcoming = next(waiting, None)
        loaded: list[str] = []
        with self._connection.execution_options(yield_per=5000).execute(query) as rows:
            begins = "" if upcoming is None else _first_id_of(upcoming)
            for row in rows:
                # Ids of one day are told from the next day's by comparing, not by reading them.
                while upcoming is not None and row[0] >= begins and upcoming <= _day_of(row[0]):
                    self._load(upcoming)
                    loaded.append(upcoming)
                    upcoming = next(waiting, None)
                    begins = "" if upcoming is None else _first_id_of(upcoming)
                while len(loaded) > 2:  # hardly anything of a day comes two days later
                    self._judge(loaded.pop(0))
                self._take(row)
        while upcoming is not None:
            self._load(upcoming)
            loaded.append(upcoming)
            upcoming = next(waiting, None)
        if self._only:
            self._look_everywhere(every)
        self._judge()
        if self._earlier is not None and not self._only:
            self._judge_link("", EARLIER, 0, self._earlier)

    def _days_with_links(self) -> Iterator[str]:
        if self._only:
            return iter([self._only])
        c = t.links.c
        query = select(c.day).where(c.writer != EARLIER).distinct().order_by(c.day)
        return iter(list(self._connection.scalars(query)))

    def _load(self, day: str) -> None:
        """Takes the day's links into memory, and looks at how they hang together."""
        c = t.links.c
        query = select(t.links).where(c.day == day).order_by(c.writer, c.number)
        writer, previous = None, ""
        for row in self._connection.execute(query):
            if row.writer != writer:
                writer, previous = row.writer, genesis(row.writer, day)
            before = self._last.get(row.writer, None if self._only else 0)
            if before is not None and row.number != before + 1:
                self._fault("store.fault_link_missing", day, row.writer, before + 1)
            elif row.previous != previous:
                self._fault("store.fault_link_previous", day, row.writer, row.number)
            self._last[row.writer] = row.number
            previous = row.hash
            self._links[row.writer, row.number] = _link(row)
            self._result.links += 1
        self._result.days += 1

    def _take(self, row: Sequence[Any]) -> None:
        writer, number, id_ = row[_AT["writer"]], row[_AT["link"]], row[0]
        if number is None:
            self._take_earlier(row)
            return
        link = self._links.get((writer, number))
        if link is None:
            if self._only is None or _day_of(id_) == self._only:
                self._stranger(writer, number, id_)
            return
        link.digest.update(canonical(row))
        link.first = link.first or id_
        link.seen += 1
        self._result.events += 1

    def _take_earlier(self, row: Sequence[Any]) -> None:
        """An event without a link: of an earlier feilun, which the migration made one link of."""
        if self._earlier is None:
            if self._only is None or _day_of(row[0]) == self._only:
                writer = row[_AT["writer"]]
                self._fault("store.fault_event_unlinked", _day_of(row[0]), writer, None, row[0])
            return
        self._earlier.digest.update(canonical(row))
        self._earlier.seen += 1
        self._result.events += 1

    def _stranger(self, writer: str, number: int, id_: str) -> None:
        """An event that none of the links of these days carries."""
        c = t.links.c
        query = select(c.day).where(c.writer == writer, c.number == number)
        day = self._connection.scalar(query)
        # With a day of its own, it is that day's; it is looked at with it.
        if day is None or self._only is None:
            self._fault("store.fault_event_stray", _day_of(id_), writer, number, id_)

    def _look_everywhere(self, every: Select[Any]) -> None:
        """Events of the day's links whose ids are of other days: somebody set the clock."""
        lacking = [key for key, link in self._links.items() if link.seen < link.events]
        if lacking:
            c = t.events.c
            writers = {writer for writer, _ in lacking}
            day = self._only or ""
            elsewhere = (c.id < _first_id_of(day)) | (c.id >= _first_id_of(day, 2))
            for row in self._connection.execute(every.where(c.writer.in_(writers), elsewhere)):
                if (row[_AT["writer"]], row[_AT["link"]]) in self._links:
                    self._take(row)

    def _judge(self, day: str | None = None) -> None:
        """Judges the links of `day` whose events are all there, or in the end all links."""
        for (writer, number), link in list(self._links.items()):
            if day is None or (link.day == day and link.seen >= link.events):
                del self._links[writer, number]
                self._judge_link(link.day, writer, number, link)

    def _judge_link(self, day: str, writer: str, number: int, link: _Link) -> None:
        if link.seen != link.events:
            detail = f"{link.seen}/{link.events}"
            self._fault("store.fault_link_count", day, writer, number, link.first, detail)
        elif link.digest.hexdigest() != link.hash:
            self._fault("store.fault_link_hash", day, writer, number, link.first)

    def _fault(
        self,
        code: str,
        day: str,
        writer: str,
        link: int | None,
        event: str = "",
        detail: str = "",
    ) -> None:
        self._result.add(Fault(code, day, writer, link, event, detail))


def _days(connection: Connection) -> list[str]:
    """Every day that has sums, and those between the first event and the last."""
    days = set(connection.scalars(select(t.totals.c.day).distinct()))
    first, last = connection.execute(
        select(func.min(t.events.c.created), func.max(t.events.c.created))
    ).one()
    if first is not None:
        one = first.date()
        while one <= last.date():
            days.add(one.isoformat())
            one += _DAY
    return sorted(days)


def _sums(connection: Connection, result: Verification, day: str) -> None:
    """The day's sums against its events, summed again by the database."""
    kept = {
        tuple(row[: len(DIMENSIONS)]): _numbers(row[len(DIMENSIONS) :])
        for row in connection.execute(
            select(*(t.totals.c[name] for name in (*DIMENSIONS, *SUMS))).where(
                t.totals.c.day == day
            )
        )
    }
    again = _summed(connection, day)
    for key in sorted(kept.keys() | again.keys()):
        have, should = kept.get(key), again.get(key)
        if have != should:
            values = dict(zip(DIMENSIONS, key, strict=True))
            names = [
                f"{name} {have[place] if have else '-'}≠{should[place] if should else '-'}"
                for place, name in enumerate(SUMS)
                if (have[place] if have else None) != (should[place] if should else None)
            ]
            detail = f"{values['customer']} {values['model_version']}: {', '.join(names)}"
            result.add(Fault("store.fault_totals", day, values["writer"], detail=detail))


def _summed(connection: Connection, day: str) -> dict[tuple[Any, ...], list[Any]]:
    c = t.events.c
    start = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    within = (c.created >= start, c.created < start + _DAY)
    dimensions = [
        func.substr(cast(c.created, String), 1, 10)
        if name == "day"
        else func.coalesce(c[name], 0 if name == "price_version" else "")
        for name in DIMENSIONS
    ]
    labelled = [one.label(f"by_{place}") for place, one in enumerate(dimensions)]
    sums = [
        func.count() if name == "events" else func.sum(c[name])
        for name in SUMS
        if name != "more_units"
    ]
    more_at = SUMS.index("more_units")
    found: dict[tuple[Any, ...], list[Any]] = {}
    query = select(*labelled, *sums).where(*within).group_by(*labelled)
    for row in connection.execute(query):
        values: list[Any] = [int(value) for value in row[len(DIMENSIONS) :]]
        values.insert(more_at, None)
        found[tuple(row[: len(DIMENSIONS)])] = values
    more = select(*labelled, c.more_units).where(*within, c.more_units.is_not(None))
    for *key, units in connection.execute(more):
        into: dict[str, int] = found[tuple(key)][more_at] or {}
        found[tuple(key)][more_at] = into
        for name, count in units.items():
            into[name] = into.get(name, 0) + count
    return found


def _numbers(row: Sequence[Any]) -> list[Any]:
    return [value or None if isinstance(value, dict) else value for value in row]


def check_roots(database: Database, exported: Mapping[str, Root], newest: int = 31) -> Verification:
    """Whether the chains of the newest closed days still come to their roots: a look at their
    links alone, which takes a moment where `verify` takes as long as there are events."""
    result = Verification()
    with database.read() as connection:
        days = {*connection.scalars(select(t.roots.c.day)), *exported}
        for day in sorted(days)[-newest:]:
            _roots(connection, result, day, exported)
    return result


def _roots(
    connection: Connection, result: Verification, day: str | None, exported: Mapping[str, Root]
) -> None:
    c = t.roots.c
    query = select(t.roots).order_by(c.day)
    kept = {row.day: row.root for row in connection.execute(query)}
    for one in sorted(kept.keys() | exported.keys()):
        if day is not None and one != day:
            continue
        result.roots += 1
        now = root_of(connection, one).root
        if one in kept and kept[one] != now:
            result.add(Fault("store.fault_root", one, detail=f"{kept[one]}≠{now}"))
        if one in exported and exported[one].root != now:
            result.add(
                Fault("store.fault_root_exported", one, detail=f"{exported[one].root}≠{now}")
            )


def _first_id_of(day: str, later: int = 0) -> str:
    """What the ids of `day`, or of so many days `later`, are not less than."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC) + later * _DAY
    return f"{int(start.timestamp() * 1000):012x}"


def _day_of(id_: str) -> str:
    """The day in which an id was made; see `feilun.store.ids`."""
    try:
        return datetime.fromtimestamp(int(id_[:12], 16) / 1000, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return ""
