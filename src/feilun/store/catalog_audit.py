"""The log of administrative acts: who did what to whom, in a chain that shows every later change.

`note` writes a row in the transaction of the act itself, so that neither is there without the
other. Each row holds the hash of the row before it and its own, over canonical JSON: whoever edits
a row, takes one out of the middle or puts one in breaks the chain from there on. A tail that was
cut off leaves a whole chain, so the last number is counted apart as well, and the head can be kept
outside the database and compared (``feilun audit head``).

What happens outside the catalog (a credit in the ledger, files that gc removes) is noted before it
is done: the log may then name an act that failed, but never lacks one that happened.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, insert, select, update

from feilun.store import tables_catalog as t
from feilun.store.catalog_base import CatalogPart
from feilun.store.columns import dump_json, now
from feilun.store.records import Act, AuditCheck

__all__ = ["FIRST", "Acting", "Audit", "AuditHead", "acting", "actor", "note"]

FIRST = "0" * 64
"""What stands as ``previous`` in the first row."""

_COUNTER = "audit"
_PAGE = 2000


@dataclass(slots=True)
class Acting:
    """Somebody who acts, and how many of their acts were noted."""

    who: str
    noted: int = 0


_acting: ContextVar[Acting | None] = ContextVar("feilun_actor", default=None)


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The end of the chain: the last row's number (0: none) and hash. As text ``12:ab34…``."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> AuditHead:
        """The head that `str` wrote. Raises `ValueError` for anything else."""
        number, _, digest = text.strip().partition(":")
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise ValueError(text)
        return cls(int(number), digest)


def actor() -> str:
    """Who acts here: what `acting` says, else the user of this process and its machine."""
    acts = _acting.get()
    return acts.who if acts is not None else _os_user()


@contextmanager
def acting(who: str) -> Iterator[Acting]:
    """Acts inside are `who`'s (a key's id, say), in this context alone: a request, a task."""
    acts = Acting(who)
    token = _acting.set(acts)
    try:
        yield acts
    finally:
        _acting.reset(token)


def note(
    connection: Connection,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> int:
    """Writes one act into the log, in the transaction of `connection`; its number.

    `action` is what was done, as ``key.revoke``; `subject` to whom or what; `detail` the rest that
    matters, as JSON, never a secret. Comes last in a transaction: from here on, others who note
    something wait for its end.
    """
    # This row is the queue on PostgreSQL; SQLite's writer is alone already.
    counters = t.counters
    connection.execute(
        update(counters).where(counters.c.name == _COUNTER).values(value=counters.c.value + 1)
    )
    number = connection.scalar(select(counters.c.value).where(counters.c.name == _COUNTER))
    assert number is not None
    last = select(t.audit.c.hash).where(t.audit.c.number == number - 1)
    row: dict[str, Any] = {
        "number": number,
        "at": now(),
        "actor": _clean(actor()),
        "action": action,
        "subject": _clean(subject),
        "detail": json.loads(dump_json(dict(detail or {}))),
        "previous": connection.scalar(last) or FIRST,
    }
    connection.execute(insert(t.audit).values(row | {"hash": _hash(row)}))
    acts = _acting.get()
    if acts is not None:
        acts.noted += 1
    return int(number)


class Audit(CatalogPart):
    """The log, read and checked."""

    def note(self, action: str, subject: str, detail: Mapping[str, Any] | None = None) -> int:
        """Notes an act that happens outside the catalog, in a transaction of its own."""
        with self._db.write() as connection:
            return note(connection, action, subject, detail)

    def acts(
        self, limit: int = 100, *, action: str | None = None, before: int | None = None
    ) -> list[Act]:
        """The newest acts, newest first: those whose action is `action` or begins with it and a
        dot, of a number below `before`."""
        table = t.audit.c
        query = select(t.audit).order_by(table.number.desc()).limit(limit)
        if action is not None:
            inside = table.action.startswith(f"{action}.", autoescape=True)
            query = query.where((table.action == action) | inside)
        if before is not None:
            query = query.where(table.number < before)
        with self._db.read() as connection:
            return [Act(**row._mapping) for row in connection.execute(query)]

    def audit_head(self) -> AuditHead:
        """The end of the chain, to be kept where nobody who can change the database can change
        it."""
        query = select(t.audit.c.number, t.audit.c.hash).order_by(t.audit.c.number.desc()).limit(1)
        with self._db.read() as connection:
            row = connection.execute(query).first()
        return AuditHead(0, FIRST) if row is None else AuditHead(row.number, row.hash)

    def verify_audit(self, head: AuditHead | None = None) -> AuditCheck:
        """Reads the whole chain again. `head` is one that was exported earlier: the row of its
        number must still be there, with its hash."""
        last, previous = 0, FIRST
        with self._db.read() as connection:
            counted = connection.scalar(
                select(t.counters.c.value).where(t.counters.c.name == _COUNTER)
            )
            for row in _rows(connection):
                why = _fault(row, last + 1, previous, head)
                if why:
                    return AuditCheck(last, last + 1, why)
                last, previous = row["number"], row["hash"]
        if last < max(counted or 0, head.number if head else 0):
            return AuditCheck(last, last + 1, "cut")
        return AuditCheck(last, None, "")


def _rows(connection: Connection) -> Iterator[dict[str, Any]]:
    """All rows in order, some thousand at a time in memory."""
    table, last, more = t.audit, -1, True
    while more:
        query = select(table).where(table.c.number > last).order_by(table.c.number).limit(_PAGE)
        page = [dict(row._mapping) for row in connection.execute(query)]
        yield from page
        more = len(page) == _PAGE
        last = page[-1]["number"] if page else last


def _fault(row: Mapping[str, Any], expected: int, previous: str, head: AuditHead | None) -> str:
    """Why `row` cannot stand where number `expected` should; empty when it can."""
    if row["number"] != expected:
        return "missing"
    if row["previous"] != previous or row["hash"] != _hash(row):
        return "changed"
    if head is not None and head.number == expected and head.hash != row["hash"]:
        return "other_head"
    return ""


def _hash(row: Mapping[str, Any]) -> str:
    at: datetime = row["at"]
    stated = {name: value for name, value in row.items() if name != "hash"}
    stated["at"] = at.astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps(stated, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()


def _clean(text: str) -> str:
    """As `Line` will store it, so that the hash is over what is read again."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _os_user() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user that no file names
        user = f"uid {os.getuid()}"
    return f"{user}@{platform.node()}"
