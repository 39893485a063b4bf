"""What the parts of the catalog share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, Table, insert, select, update

from feilun.store import tables_catalog as t
from feilun.store.database import Database

__all__ = ["CatalogPart", "as_dict", "next_number", "one", "put_setting", "touch"]


class CatalogPart:
    """A part of the catalog, over its database."""

    def __init__(self, database: Database) -> None:
        self._db = database


def as_dict(row: Row[Any]) -> dict[str, Any]:
    """The columns of `row` by name, without `key`, which is the writer's business alone."""
    values = dict(row._mapping)
    values.pop("key", None)
    return values


def one(connection: Connection, query: Select[Any]) -> dict[str, Any] | None:
    """The first row of `query` by column name, None where there is none."""
    row = connection.execute(query).first()
    return None if row is None else as_dict(row)


def touch(connection: Connection) -> None:
    """Counts the epoch up. Comes first in a transaction: on PostgreSQL it also makes those who
    change deployments wait for one another."""
    connection.execute(
        update(t.counters).where(t.counters.c.name == "epoch").values(value=t.counters.c.value + 1)
    )


def put_setting(connection: Connection, key: str, value: Any) -> None:
    """Keeps a JSON value under `key`, in place of what was there."""
    table = t.settings
    done = connection.execute(update(table).where(table.c.key == key).values(value=value))
    if not done.rowcount:
        connection.execute(insert(table).values(key=key, value=value))


def next_number(connection: Connection, table: Table, project: str) -> int:
    """The next number of `project` in `table`, safe against others who count at the same time."""
    # SQLite's writer is alone already; on PostgreSQL the project's row is the queue.
    connection.execute(
        select(t.projects.c.name).where(t.projects.c.name == project).with_for_update()
    )
    last = connection.scalar(
        select(table.c.number)
        .where(table.c.project == project)
        .order_by(table.c.number.desc())
        .limit(1)
    )
    return (last or 0) + 1
