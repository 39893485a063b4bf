"""Copies of SQLite files that others are writing to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import NullPool, create_engine, select

from feilun.store.backup_parts import Dump
from feilun.store.catalog import references
from feilun.store.database import BUSY_SECONDS, sqlite_url
from feilun.store.store import Store
from feilun.store.tables_ledger import prediction_blobs

__all__ = ["dump", "snapshot"]

# Each refers only to those after it: a workflow's step to catalog rows, a ledger line to a key.
_ORDER = ("dbos", "ledger", "catalog")


def dump(store: Store, folder: Path) -> Dump:
    """Copies the three databases into `folder`."""
    for name in _ORDER:
        source = store.folder / f"{name}.db"
        if source.exists():
            snapshot(source, folder / source.name)
    catalog, ledger = (
        create_engine(sqlite_url(folder / f"{name}.db"), poolclass=NullPool)
        for name in ("catalog", "ledger")
    )
    with catalog.connect() as connection:
        refs = references(connection)
    with ledger.connect() as connection:
        inputs = set(connection.scalars(select(prediction_blobs.c.hash)))
    return Dump(refs, inputs)


def snapshot(source: Path, target: Path) -> None:
    """One moment of the SQLite file `source`, as the single file `target`. Keeps nobody waiting."""
    with (
        closing(sqlite3.connect(source, timeout=BUSY_SECONDS)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        reading.backup(writing)
        # Without this a log would appear beside the copy when it is read.
        writing.execute("PRAGMA journal_mode = DELETE")
