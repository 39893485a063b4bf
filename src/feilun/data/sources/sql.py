"""The answer of a query to any database that SQLAlchemy speaks to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from feilun.data.sources.base import Options, Table
from feilun.errors import UsageError
from feilun.types import Row

__all__ = ["open_tables", "shown"]


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The one table of the query's answer. Raises `UsageError` without a query."""
    from feilun.store.sql_source import stream_query

    url = str(location)
    if not options.query:
        raise UsageError("data.no_query", url=shown(url))
    columns, rows = stream_query(url, options.query, since=options.since)
    names = list(columns)
    return [Table(shown(url), names, _rows(names, rows), details={"format": "SQL"})]


def shown(url: str) -> str:
    """The URL as it may be shown and kept with the rows: without user, password, parameters and,
    for a database in a file, the folders above it."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.partition("+")[0]
    rest = rest.partition("?")[0]
    if rest.startswith("/"):
        return f"{scheme}:{PurePath(rest).name}"
    place, slash, path = rest.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def _rows(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[Row]:
    for number, cells in enumerate(rows, 1):
        values = dict(zip(names, map(_scalar, cells), strict=True))
        yield Row(number, values)


def _scalar(cell: Any) -> Any:
    if isinstance(cell, dt.datetime | dt.date | dt.time):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return float(cell)
    if isinstance(cell, UUID):
        return str(cell)
    if isinstance(cell, memoryview | bytearray):
        return bytes(cell)
    return cell
