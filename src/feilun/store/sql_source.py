"""Rows of somebody's database, by any SQLAlchemy URL and a query, in constant memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, inspect, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from feilun.errors import FeilunError, InvalidData
from feilun.store.sql_since import Since
from feilun.types import Scalar

__all__ = ["list_tables", "stream_query"]

Rows = Generator[tuple[Scalar, ...], None, None]


def stream_query(
    url: str, query: str, chunk: int = 1000, since: Since | None = None
) -> tuple[list[str], Rows]:
    """The columns of `query` at the database `url`, and its rows one by one.

    The query is sent as it is, on a connection that may only read where the database knows that;
    rows come `chunk` at a time, and the connection closes with the iterator. Decimals become
    numbers, times ISO text, anything else text. With `since` only rows at or after its mark come,
    and reading moves it. Raises `InvalidData`, also while rows are read; what it says never shows
    the password of the URL.
    """
    rows = _rows(url, query, chunk, since)
    first = next(rows)
    return [str(name) for name in first], rows


def list_tables(url: str) -> list[str]:
    """The names of the tables and views at the database `url`. Raises `InvalidData`."""
    with _plain_words(url, ""), closing(_Connection(url)) as opened:
        inspector = inspect(opened.connection)
        return sorted([*inspector.get_table_names(), *inspector.get_view_names()])


def _rows(url: str, query: str, chunk: int, since: Since | None) -> Rows:
    with _plain_words(url, query), closing(_Connection(url)) as opened:
        text, values = _asked(opened.connection, query, since)
        connection = opened.connection.execution_options(
            # Without parameters nothing in the query is taken for one: LIKE '10%', '12:30'.
            stream_results=True,
            no_parameters=values is None,
            yield_per=chunk,
        )
        with closing(connection.exec_driver_sql(text, values)) as result:
            if not result.returns_rows:
                raise InvalidData("store.sql_no_rows", query=_short(query))
            columns = [str(name) for name in result.keys()]  # noqa: SIM118 - a result, no dict
            place = since.place(columns) if since else 0
            # The first item is the columns: asking for it opens the connection and runs the query.
            yield tuple(columns)
            for number, row in enumerate(result, 1):
                if since is not None:
                    since.see(row[place], number)
                yield tuple(map(_scalar, row))


def _asked(
    connection: Connection, query: str, since: Since | None
) -> tuple[str, tuple[Scalar, ...] | None]:
    """What is sent to the database, and the values in it; None when it has none."""
    if since is None:
        return query, None
    dialect = connection.dialect
    quoted = dialect.identifier_preparer.quote_identifier(since.column)
    return since.asked(query, quoted, dialect.paramstyle)


class _Connection:
    """One connection to somebody's database, and its engine."""

    def __init__(self, text: str) -> None:
        url = make_url(text)
        self._engine = _engine(url)
        try:
            self.connection: Connection = self._engine.connect()
            if url.get_backend_name() == "postgresql":
                self.connection = self.connection.execution_options(postgresql_readonly=True)
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        self.connection.close()
        self._engine.dispose()


def _engine(url: URL) -> Engine:
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres") and "+" not in url.drivername:
        url = url.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and url.database and not url.database.startswith("file:"):
        # Opened for reading, and a name with a typing error does not become an empty database.
        path = Path(url.database).resolve()
        if not path.is_file():
            raise InvalidData("store.sql_no_file", file=str(path))
        url = url.set(database=f"{path.as_uri()}?mode=ro", query={"uri": "true"})
    return create_engine(url)


@contextmanager
def _plain_words(url: str, query: str) -> Iterator[None]:
    try:
        yield
    except FeilunError:
        raise
    except (SQLAlchemyError, ImportError, OSError, ValueError) as error:
        reason = str(getattr(error, "orig", None) or error).strip()
        shown, secrets = _mask(url)
        for secret in secrets:
            reason = reason.replace(secret, "***")
        raise InvalidData(
            "store.sql_failed", url=shown, query=_short(query) or "-", reason=reason
        ) from None


def _mask(text: str) -> tuple[str, list[str]]:
    """The URL as it may be shown, and the texts that must not be."""
    try:
        url = make_url(text)
    except SQLAlchemyError:
        return "…", [text]
    secrets = [str(url.password)] if url.password else []
    for name, value in url.query.items():
        if any(part in name.lower() for part in ("pass", "token", "secret", "key")):
            secrets += [value] if isinstance(value, str) else list(value)
    shown = url.render_as_string()
    for secret in secrets:
        shown = shown.replace(secret, "***")
    return shown, [text, *secrets]


def _short(query: str) -> str:
    line = " ".join(query.split())
    return line if len(line) <= 120 else line[:119] + "…"


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, (str, bytes, int, float, bool)):
        return value
    if isinstance(value, Decimal):
        whole = value.is_finite() and value == value.to_integral_value()
        return int(value) if whole else float(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return str(value)
