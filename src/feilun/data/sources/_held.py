"""Rows that a Python program has at hand: lists of rows, Arrow, DataFrames, datasets.

None of their libraries is imported: Arrow data are asked for by the C stream protocol, datasets of
Hugging Face by the batches that they give in Arrow's format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from io import BytesIO
from itertools import chain
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from feilun.data.sources._dialect import column_names
from feilun.data.sources._records import from_batches, peek_columns, schema_classes
from feilun.data.sources.base import SPLITS, BadRow, Held, Table
from feilun.errors import InvalidData
from feilun.types import Row, Split

__all__ = ["open_held"]

_BATCH = 1024


def open_held(held: Held, known: Collection[str] = ()) -> list[Table]:
    """The tables of `held`: one, or one a part where it is a dictionary of datasets. `known` are
    the names of roles: a first tuple made of such names alone is a header. Raises `InvalidData`
    for what has no rows."""
    rows = held.rows
    if isinstance(rows, Mapping) and rows and all(map(Held.is_table, rows.values())):
        return [
            _table(f"{held.name}/{part}", value, known, SPLITS.get(str(part).casefold()))
            for part, value in rows.items()
        ]
    return [_table(held.name, rows, known)]


def _table(name: str, value: Any, known: Collection[str], split: Split | None = None) -> Table:
    if isinstance(value, str | bytes) or value is None:
        raise _no_rows(name, value)
    if hasattr(value, "with_format") and hasattr(value, "iter"):
        columns, rows = _of_dataset(name, value)
    elif Held.is_table(value):
        columns, rows = _of_stream(name, value)
    elif isinstance(value, Mapping):
        columns, rows = _of_columns(name, value)
    elif isinstance(value, Iterable):
        columns, rows = _of_rows(name, iter(value), known)
    else:
        raise _no_rows(name, value)
    try:
        total = len(value)
    except TypeError:
        total = 0
    kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    details = {"format": kind.removeprefix("builtins.")}
    return Table(name, columns, rows, split=split, details=details, total=total)


def _no_rows(name: str, value: Any) -> InvalidData:
    return InvalidData("formats.holds_no_rows", name=name, given=type(value).__name__)


_Found = tuple[Sequence[str], Iterator[Row | BadRow]]


def _of_dataset(name: str, value: Any) -> _Found:
    """A dataset of Hugging Face, also one that streams."""
    features = getattr(value, "features", None) or {}
    classes = {c: list(f.names) for c, f in features.items() if _numbers_classes(f)}
    tables = iter(value.with_format("arrow").iter(_BATCH))
    batches = (batch for table in tables for batch in table.to_batches())
    return _of_batches(name, batches, classes)


def _numbers_classes(feature: Any) -> bool:
    return type(feature).__name__ == "ClassLabel" and bool(getattr(feature, "names", None))


def _of_stream(name: str, value: Any) -> _Found:
    import pyarrow as pa

    try:
        reader = pa.RecordBatchReader.from_stream(value)
    except (pa.ArrowException, TypeError, ValueError) as error:
        if hasattr(value, "itertuples") and hasattr(value, "columns"):
            # A DataFrame of pandas with cells of several kinds in a column, which Arrow has not.
            columns = column_names([str(c) for c in value.columns], len(value.columns))
            return columns, _tuples(value.itertuples(index=False, name=None), columns, 1)
        raise InvalidData("formats.no_table", name=name, reason=_line(error)) from None
    classes = schema_classes(reader.schema)
    return _of_batches(name, reader, classes, reader.schema.names)


def _of_batches(
    name: str,
    batches: Iterable[Any],
    classes: Mapping[str, Sequence[str]],
    columns: Sequence[str] | None = None,
) -> _Found:
    """Rows of record batches, in pieces that fit in memory, without the index of pandas."""
    batches = iter(batches)
    if columns is None:
        first = next(batches, None)
        columns = [] if first is None else first.schema.names
        batches = batches if first is None else chain([first], batches)
    if len(set(columns)) < len(columns):
        raise InvalidData("formats.columns_twice", name=name, columns=list(columns))
    shown = [column for column in columns if not column.startswith("__index_level_")]

    def pieces() -> Iterator[Any]:
        for batch in batches:
            for begin in range(0, batch.num_rows, _BATCH):
                yield batch.slice(begin, _BATCH).select(shown)

    def rows() -> Iterator[Row | BadRow]:
        import pyarrow as pa

        try:
            yield from from_batches(pieces(), classes)
        except pa.ArrowException as error:
            raise InvalidData("formats.no_table", name=name, reason=_line(error)) from None

    return shown, rows()


def _of_columns(name: str, value: Mapping[Any, Any]) -> _Found:
    """``{"text": [...], "label": [...]}``."""
    columns = list(value)
    lists = [v for v in value.values() if hasattr(v, "__len__") and not isinstance(v, str | bytes)]
    if not columns or len(lists) < len(columns) or any(isinstance(v, Mapping) for v in lists):
        raise _no_rows(name, value)
    sizes = {str(c): len(v) for c, v in value.items()}
    if len(set(sizes.values())) > 1:
        raise InvalidData(
            "formats.uneven_columns", name=name, sizes=[f"{c}: {n}" for c, n in sizes.items()]
        )
    named = column_names([str(c) for c in columns], len(columns))
    return named, _tuples(zip(*lists, strict=True), named, 1)


def _of_rows(name: str, values: Iterator[Any], known: Collection[str]) -> _Found:
    """Dictionaries, named tuples, or tuples and lists, whose first may be a header."""
    first = next(values, None)
    if first is None:
        raise InvalidData("data.no_rows", files=[name])
    values = chain([first], values)
    if _mapping(first) is not None:
        return peek_columns(_mappings(values))
    if not _is_tuple(first):
        raise _no_rows(name, first)
    cells = [cell for cell in first if isinstance(cell, str)]
    header = len(cells) == len(first) and bool(known)
    if header and all(cell.strip().casefold() in known for cell in cells):
        next(values)
        columns = column_names(cells, len(cells))
        return columns, _tuples(values, columns, 2)
    columns = column_names(None, len(first))
    return columns, _tuples(values, columns, 1)


def _mapping(value: Any) -> Mapping[Any, Any] | None:
    """A row that names its cells: a dictionary, a named tuple, a row of SQLAlchemy."""
    if isinstance(value, Mapping):
        return value
    names = getattr(value, "_fields", None)
    if isinstance(value, tuple) and names and len(names) == len(value):
        return dict(zip(names, value, strict=True))
    return None


def _is_tuple(value: Any) -> bool:
    return isinstance(value, list | tuple) or (hasattr(value, "tolist") and hasattr(value, "dtype"))


def _mappings(values: Iterable[Any]) -> Iterator[Row | BadRow]:
    for number, value in enumerate(values, 1):
        named = _mapping(value)
        if named is None:
            yield BadRow(number, "formats.no_row", {"given": type(value).__name__}, {})
            continue
        yield _row(number, {str(column): cell for column, cell in named.items()})


def _tuples(values: Iterable[Any], columns: Sequence[str], begin: int) -> Iterator[Row | BadRow]:
    for number, value in enumerate(values, begin):
        if not _is_tuple(value):
            yield BadRow(number, "formats.no_row", {"given": type(value).__name__}, {})
        elif len(value) != len(columns):
            sizes = {"given": len(value), "expected": len(columns)}
            yield BadRow(number, "data.ragged", sizes, {})
        else:
            yield _row(number, dict(zip(columns, value, strict=True)))


def _row(number: int, values: dict[str, Any]) -> Row | BadRow:
    for column, cell in values.items():
        if type(cell) is str or cell is None:
            continue
        try:
            values[column] = _cell(cell)
        except TypeError:
            params = {"column": column, "given": type(cell).__name__}
            return BadRow(number, "formats.strange_cell", params, {})
    return Row(number, values)


def _cell(cell: Any) -> Any:
    """A cell in the form in which files hold it: times as ISO text, pictures as PNG. Raises
    `TypeError` for what no file could hold."""
    if type(cell).__name__ in ("NAType", "NaTType"):  # what pandas writes for nothing
        return None
    if hasattr(cell, "tolist") and hasattr(cell, "dtype"):  # numbers and arrays of NumPy
        return cell.tolist()
    if isinstance(cell, bool | str | bytes | list | dict):
        return cell
    if isinstance(cell, Integral):
        return int(cell)
    if isinstance(cell, Real | Decimal):
        return float(cell)
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta | Path):
        return str(cell)
    if isinstance(cell, bytearray | memoryview):
        return bytes(cell)
    if isinstance(cell, tuple | set | frozenset):
        return list(cell)
    if hasattr(cell, "save") and hasattr(cell, "getbands"):  # a picture of Pillow
        stream = BytesIO()
        cell.save(stream, "PNG")
        return stream.getvalue()
    raise TypeError


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
