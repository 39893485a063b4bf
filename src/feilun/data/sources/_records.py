"""Rows from records whose columns are not known beforehand: JSON objects, Arrow batches."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from feilun.data.sources.base import BadRow
from feilun.types import Row

__all__ = [
    "class_names",
    "from_batches",
    "named",
    "object_row",
    "peek_columns",
    "schema_classes",
]

_PEEK_ROWS = 1000
_PEEK_BYTES = 8 << 20


def peek_columns(
    rows: Iterator[Row | BadRow],
) -> tuple[tuple[str, ...], Iterator[Row | BadRow]]:
    """The names that the first rows use, in their order, and all the rows again."""
    seen: list[Row | BadRow] = []
    names: dict[str, None] = {}
    held = 0
    for row in islice(rows, _PEEK_ROWS):
        seen.append(row)
        names |= dict.fromkeys(row.values)
        held += sum(len(v) for v in row.values.values() if isinstance(v, str | bytes))
        if held > _PEEK_BYTES:
            break
    return tuple(names), chain(seen, rows)


def object_row(number: int, value: Any) -> Row | BadRow:
    """A row from one JSON value: an object, whose tagged bytes (``{"$base64": …}``) are bytes."""
    if not isinstance(value, dict):
        return BadRow(number, "data.not_an_object", {"given": type(value).__name__}, {"": value})
    for name, cell in value.items():
        if isinstance(cell, dict) and set(cell) == {"$base64"}:
            try:
                value[name] = base64.b64decode(cell["$base64"], validate=True)
            except (binascii.Error, TypeError, ValueError):
                return BadRow(number, "data.bad_base64", {"column": name}, {})
    return Row(number, value)


def class_names(metadata: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """Column → names of its classes, out of the features that Hugging Face datasets keep; of a
    column of lists those of what is in them."""
    found: dict[str, Sequence[str]] = {}
    for column, feature in metadata.items():
        # Lists were written as [feature] once, then as Sequence, LargeList and List.
        inner = feature[0] if isinstance(feature, list) and feature else feature
        if isinstance(inner, dict) and isinstance(inner.get("feature"), dict):
            inner = inner["feature"]
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel":
            found[column] = list(inner.get("names") or [])
    return found


def named(value: Any, names: Mapping[int, str]) -> Any:
    """The name of the class with this number, of a list the names of all in it; -1 is none. What
    has no name stays as it is."""
    if isinstance(value, list):
        return [named(one, names) for one in value]
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    return None if value == -1 else names.get(value, value)


def schema_classes(schema: Any) -> dict[str, Sequence[str]]:
    """`class_names` of the features that an Arrow schema carries."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"][
            "features"
        ]
    except (ValueError, KeyError, TypeError):
        return {}
    return class_names(features) if isinstance(features, dict) else {}


def from_batches(
    batches: Iterable[Any], classes: Mapping[str, Sequence[str]]
) -> Iterator[Row | BadRow]:
    """Rows of Arrow record batches, numbered from 1.

    Times become ISO text, decimals numbers, dictionaries their values, ``{"bytes", "path"}`` the
    bytes or, without any, the path; numbers of classes become their names, -1 none. Columns of
    bytes that are UTF-8 become text: some programs write all texts so. Where one is not, the row
    is bad.
    """
    number = 0
    written: dict[str, bool | None] = {}
    for batch in batches:
        names = batch.schema.names
        columns: list[list[Any]] = []
        mixed: list[int] = []  # columns of text with bytes in them that are none
        for name, column in zip(names, batch.columns, strict=True):
            try:
                values = _values(column, classes.get(name))
            except UnicodeDecodeError:
                values = [_decoded(value) for value in _bytes(column)]
                mixed.append(len(columns))
            if _is_binary(column.type):
                if written.get(name) is None:
                    written[name] = _is_text(values)
                if written[name]:
                    values = [_decoded(value) for value in values]
                    if any(isinstance(value, bytes) for value in values):
                        mixed.append(len(columns))
            columns.append(values)
        for cells in zip(*columns, strict=True):
            number += 1
            row = dict(zip(names, cells, strict=True))
            if mixed and any(isinstance(cells[place], bytes) for place in mixed):
                yield BadRow(number, "data.bad_bytes", {"encoding": "utf-8"}, row)
            else:
                yield Row(number, row)


def _bytes(column: Any) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values: list[Any] = column.cast(pa.large_binary()).to_pylist()
    return values


def _is_binary(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return str(kind).startswith(("binary", "large_binary", "fixed_size_binary"))


def _is_text(values: list[Any]) -> bool | None:
    """Whether most of the bytes in a column are text; None where it holds none to judge by."""
    held = [value for value in values if value]
    if not held:
        return None
    return 2 * sum(isinstance(_decoded(value), str) for value in held) > len(held)


def _decoded(value: Any) -> Any:
    """Bytes as text where they are UTF-8; a picture that looks so holds NULs."""
    if not isinstance(value, bytes) or b"\0" in value:
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def _values(column: Any, classes: Sequence[str] | None) -> list[Any]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_duration(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_temporal(kind):
        column = column.cast(pa.string())
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    values: list[Any] = column.to_pylist()
    if classes:
        return [named(value, dict(enumerate(classes))) for value in values]
    if pa.types.is_struct(kind) and {f.name for f in kind} == {"bytes", "path"}:
        return [v and (v["bytes"] if v["bytes"] is not None else v["path"]) for v in values]
    return values
