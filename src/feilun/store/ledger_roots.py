"""One hash for a finished day: the root over the chains of all writers.

It is kept in the ledger, and written to a file outside the database, so that whoever changes the
database cannot make the two agree. A copy of the file in other hands is worth more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from feilun.errors import UsageError
from feilun.store import tables_ledger as t
from feilun.store.columns import dump_json, now
from feilun.store.database import Database
from feilun.store.files import full_disk, write_atomically

__all__ = ["FOLDER", "Root", "Roots", "export_root", "read_roots", "root_of"]

FOLDER = "ledger-roots"
"""Where a workspace keeps the exported roots, a file for each day."""

_SETTLED = timedelta(minutes=10)
"""How long after its end a day is finished: no commit takes so long."""


@dataclass(frozen=True, slots=True)
class Root:
    """The root of `day` over `chains` (writer, first link, last link, events, last hash), sorted:
    ``sha256`` of the compact JSON array ``[day, chains]``; `events` in all."""

    day: str
    root: str
    chains: Sequence[Sequence[Any]]
    events: int


class Roots:
    """The ledger's daily roots."""

    _db: Database

    def make_roots(self, moment: datetime | None = None) -> list[Root]:
        """Closes every finished day that has events and no root yet, by the time `moment`
        (default: now); the new roots. Several processes may do so at once."""
        today = ((moment or now()).astimezone(UTC) - _SETTLED).date().isoformat()
        days = select(t.links.c.day).distinct().where(t.links.c.day != "", t.links.c.day < today)
        open_ = days.where(t.links.c.day.not_in(select(t.roots.c.day))).order_by(t.links.c.day)
        made = []
        with self._db.read() as connection:
            waiting = list(connection.scalars(open_))
        for day in waiting:
            try:
                with self._db.write() as connection:
                    root = root_of(connection, day)
                    connection.execute(insert(t.roots).values(**asdict(root), created=now()))
            except IntegrityError:  # another process was faster, with the same
                continue
            made.append(root)
        return made

    def roots(self) -> list[Root]:
        """All roots, by day."""
        with self._db.read() as connection:
            rows = connection.execute(select(t.roots).order_by(t.roots.c.day)).all()
        return [Root(row.day, row.root, row.chains, row.events) for row in rows]


def root_of(connection: Connection, day: str) -> Root:
    """The root of a day as its links are now."""
    c = t.links.c
    spans = (
        select(
            c.writer,
            func.min(c.number).label("first"),
            func.max(c.number).label("last"),
            func.sum(c.events).label("events"),
        )
        .where(c.day == day)
        .group_by(c.writer)
        .subquery()
    )
    query = (
        select(spans, c.hash)
        .join(t.links, (c.writer == spans.c.writer) & (c.number == spans.c.last))
        .where(c.day == day)
    )
    chains = sorted(
        [row.writer, row.first, row.last, int(row.events), row.hash]
        for row in connection.execute(query)
    )
    text = dump_json([day, chains])
    return Root(day, sha256(text.encode()).hexdigest(), chains, sum(chain[3] for chain in chains))


def export_root(root: Root, folder: Path) -> Path:
    """Writes ``DAY.json`` into `folder`, unless it is there: what was exported is not replaced."""
    path = folder / f"{root.day}.json"
    if not path.exists():
        with full_disk(path):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(asdict(root), indent=1).encode())
    return path


def read_roots(folder: Path) -> dict[str, Root]:
    """The exported roots of `folder` by day; none where it is not there. Raises `UsageError` for
    a file that is none."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            root: Root | None = Root(**json.loads(path.read_text()))
        except (ValueError, TypeError):
            root = None
        if root is None or path.stem != root.day:
            raise UsageError("store.not_a_root", path=path)
        found[root.day] = root
    return found
