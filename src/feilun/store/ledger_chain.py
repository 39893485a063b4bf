"""The chain of hashes that shows whether what was written is still what was written.

Each writer (one `Ledger` of one process) has a chain of its own for each day (UTC): one link for
each group commit, ``sha256(previous || the group's events)``. What an event's bytes are stands at
`canonical`; what the first link of a day begins with at `genesis`.
"""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from feilun.store import tables_ledger as t
from feilun.store.columns import dump_json

__all__ = ["EARLIER", "EVENT_COLUMNS", "Head", "canonical", "genesis", "link_hash", "new_writer"]

EVENT_COLUMNS: tuple[str, ...] = tuple(column.name for column in t.events.c)
"""The fields of an event in the order in which they are hashed and written."""

EARLIER = "earlier"
"""The writer of the one link that carries all events of a feilun that kept no chain."""

_MORE = EVENT_COLUMNS.index("more_units")
_CREATED = EVENT_COLUMNS.index("created")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


def new_writer() -> str:
    """A name that no other writer of this ledger has or will have: ``host:pid:random``."""
    return f"{platform.node()}:{os.getpid()}:{secrets.token_hex(5)}"


def canonical(row: Sequence[Any]) -> bytes:
    """The bytes of an event that are hashed: its fields (`EVENT_COLUMNS`) as one JSON array in
    UTF-8 without spaces, and a line feed. `created` is in microseconds since 1970, `more_units`
    the text of a JSON object."""
    values = list(row)
    since = values[_CREATED] - _EPOCH
    values[_CREATED] = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if values[_MORE] is not None:
        values[_MORE] = dump_json(values[_MORE])
    return _encode(values) + b"\n"


def genesis(writer: str, day: str) -> str:
    """What the first link of a writer's day has as its previous one: no chain can be passed off as
    another writer's or another day's."""
    return sha256(f"feilun ledger\n{writer}\n{day}\n".encode()).hexdigest()


def link_hash(previous: str, rows: Iterable[Sequence[Any]]) -> str:
    """The hash of a link over the events of its group, in the order of their ids."""
    digest = sha256(bytes.fromhex(previous))
    for row in rows:
        digest.update(canonical(row))
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Head:
    """How far a writer's chain has come: the `number` of its last link (links of a writer count
    on over days), that link's day and hash."""

    writer: str
    number: int = 0
    day: str = ""
    hash: str = ""

    def previous(self, day: str) -> str:
        """What the next link of `day` follows."""
        return self.hash if day == self.day else genesis(self.writer, day)
