"""JSON that is no array of objects: a table column by column or by its index, as
``DataFrame.to_json`` writes it, and arrays of cells."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from feilun.data.sources._dialect import column_names, has_header
from feilun.data.sources._records import object_row
from feilun.data.sources.base import BadRow
from feilun.errors import InvalidData
from feilun.types import Row

__all__ = ["from_cells", "from_layout", "is_layout"]

_PEEK = 100


def is_layout(value: Any) -> bool:
    """Whether a JSON object holds a whole table rather than one row."""
    if not isinstance(value, dict) or not value:
        return False
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return True
    inner = value.values()
    return all(isinstance(v, list) for v in inner) or all(isinstance(v, dict) for v in inner)


def from_layout(
    name: str, content: Any, known: Collection[str]
) -> tuple[Sequence[str], Iterator[Row | BadRow]]:
    """The columns and rows of an object of lists, of columns or of rows. Raises `InvalidData` when
    it is none of these."""
    if not is_layout(content):
        raise InvalidData("data.json_shape", file=name)
    values = list(content.values())
    if all(isinstance(value, list) for value in values):
        sizes = {column: len(value) for column, value in content.items()}
        if len(set(sizes.values())) > 1:
            raise InvalidData("formats.uneven_columns", name=name, sizes=sizes)
        return list(content), _numbered(list(content), zip(*values, strict=True))
    inner = list(dict.fromkeys(chain.from_iterable(values)))
    if _by_column(list(content), inner, known):
        cells = ([column.get(key) for column in values] for key in inner)
        return list(content), _numbered(list(content), cells)
    return inner, (object_row(number, value) for number, value in enumerate(values, 1))


def _by_column(outer: list[str], inner: list[str], known: Collection[str]) -> bool:
    """Whether the names outside are those of the columns: by usual names, by numbers, which an
    index has, and else because there are more rows than columns."""
    for test in (lambda name: name.casefold() in known, lambda name: not name.isdecimal()):
        outside, inside = any(map(test, outer)), any(map(test, inner))
        if outside != inside:
            return outside
    return len(inner) >= len(outer)


def _numbered(columns: list[str], cells: Any) -> Iterator[Row | BadRow]:
    for number, row in enumerate(cells, 1):
        yield object_row(number, dict(zip(columns, row, strict=True)))


def from_cells(
    elements: Iterator[Any], columns: Sequence[str] | None, known: Collection[str]
) -> tuple[Sequence[str], Iterator[Row | BadRow]]:
    """Rows that are arrays of cells. Without `columns` the first one names them if it looks so."""
    head = list(islice(elements, _PEEK))
    lists = [row for row in head if isinstance(row, list)]
    if columns is None:
        texts = [["" if cell is None else str(cell) for cell in row] for row in lists]
        named = all(isinstance(cell, str) for row in lists[:1] for cell in row)
        if named and has_header(texts, known):
            columns, head = texts[0], head[1:]
        else:
            width = max(map(len, lists), default=1)
            columns = column_names(None, width)
    names = column_names(columns, len(columns))
    return names, _rows(chain(head, elements), names)


def _rows(elements: Iterator[Any], names: Sequence[str]) -> Iterator[Row | BadRow]:
    for number, cells in enumerate(elements, 1):
        if not isinstance(cells, list):
            given = {"given": type(cells).__name__, "expected": len(names)}
            yield BadRow(number, "formats.not_a_list", given, {"": cells})
        elif len(cells) != len(names):
            params = {"given": len(cells), "expected": len(names)}
            yield BadRow(number, "data.ragged", params, dict(zip(names, cells, strict=False)))
        else:
            yield object_row(number, dict(zip(names, cells, strict=True)))
