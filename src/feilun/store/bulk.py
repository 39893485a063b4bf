"""Rows into a table by statements that are made once: for what every answered call waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

from feilun.store.columns import Moment
from feilun.store.database import Database

__all__ = ["Insert", "driven"]


@contextmanager
def driven(connection: Connection, sql: str) -> Iterator[Any]:
    """The driver's own cursor within the transaction of `connection`, for `sql`: SQLAlchemy's way
    there takes several times as long as the statement. Raises what SQLAlchemy would."""
    dialect = connection.dialect
    kind = dialect.loaded_dbapi.Error
    cursor = connection.connection.cursor()
    try:
        yield cursor
    except kind as error:
        gone = dialect.is_disconnect(error, connection.connection, cursor)
        if gone:
            connection.invalidate(error)
        raise DBAPIError.instance(
            sql, None, error, kind,
            hide_parameters=True, connection_invalidated=gone, dialect=dialect,
        ) from error  # fmt: skip
    finally:
        cursor.close()


class Insert:
    """INSERT of rows of `table` in the words of one database; `tail` is what follows the values.

    A row is a tuple of the table's columns in their order. Values become what SQLAlchemy would
    make of them, at a third of its time.
    """

    def __init__(self, database: Database, table: Table, tail: str = "") -> None:
        dialect = database.engine.dialect
        mark = "?" if database.sqlite else "%s"
        names = ", ".join(f'"{column.name}"' for column in table.c)
        marks = ", ".join(mark for _ in table.c)
        self._sql = f"INSERT INTO {table.name} ({names}) VALUES ({marks}) {tail}"
        self._convert: list[tuple[int, Callable[[Any], Any]]] = []
        for place, column in enumerate(table.c):
            convert = column.type.dialect_impl(dialect).bind_processor(dialect)
            if database.sqlite and isinstance(column.type, Moment):
                convert = partial(_sqlite_moment, convert)
            if convert is not None:
                self._convert.append((place, convert))

    def run(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> int:
        """Writes `rows`; how many were. Raises what the database raises."""
        ready = [tuple(self._ready(row)) for row in rows]
        with driven(connection, self._sql) as cursor:
            if len(ready) == 1:
                cursor.execute(self._sql, ready[0])
            else:
                cursor.executemany(self._sql, ready)
            return int(cursor.rowcount)

    def _ready(self, row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for place, convert in self._convert:
            values[place] = convert(values[place])
        return values


def _sqlite_moment(slow: Callable[[Any], Any] | None, value: Any) -> Any:
    """As SQLAlchemy keeps a time in SQLite, without taking it apart: a fifth of the time."""
    if value is not None and value.tzinfo is UTC:
        return value.isoformat(" ", "microseconds")[:26]
    return slow(value) if slow else value
