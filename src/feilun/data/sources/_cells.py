"""Tables out of rows of cells, as spreadsheets and pages have them."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, dropwhile, islice
from pathlib import Path
from typing import Any

from feilun.data.sources._around import Ahead, Below, joined_header, titles_above, without_totals
from feilun.data.sources._dialect import column_names, has_header
from feilun.data.sources.base import BadRow, Options, Table
from feilun.errors import InvalidData
from feilun.messages import t
from feilun.types import Row

__all__ = ["filled", "peek", "place", "table_of_cells"]

_HEADER_ROWS = 100

Numbered = tuple[int, Sequence[Any]]


def filled(cell: Any) -> bool:
    """Whether there is anything in a cell."""
    return cell is not None and cell != "" and not (isinstance(cell, float) and math.isnan(cell))


def place(name: str, details: Mapping[str, Any]) -> str:
    """A table's name, with its sheet where there are others."""
    sheets = details.get("sheets", ())
    if len(sheets) < 2:
        return name
    return t("formats.of_sheet", file=name, sheet=details["sheet"], sheets=sheets)


def _written(row: Sequence[Any]) -> list[str]:
    """The cells as text, without the empty ones at the end."""
    cells = [str(cell) if filled(cell) else "" for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def table_of_cells(
    path: Path,
    cells: Iterable[Sequence[Any]],
    options: Options,
    known: Collection[str],
    *,
    details: Mapping[str, Any],
    close: Callable[[], None] | None = None,
) -> Table:
    """The table in `cells`, of which blank rows are a part. Its rows are numbered from 1 below the
    header; blank ones do not count."""
    numbered: Iterator[Numbered] = enumerate(cells, 1)
    head = _head(numbered)
    told = [one for one in head if any(map(filled, one[1]))]
    if not told:
        raise InvalidData("data.empty_file", file=place(path.name, details))
    above, header = 0, options.header
    if options.header_row is not None:
        wanted = options.header_row
        header = True
        above = next((i for i, (number, _) in enumerate(told) if number >= wanted), len(told))
        if above == len(told) or told[above][0] != wanted:
            raise InvalidData("formats.no_header_row", file=path, given=wanted, lines=told[-1][0])
    rows = [_written(row) for _, row in told]
    if header is None:
        above = titles_above(rows, _width(rows), lambda count: rows[count:], known)
        header = has_header(rows[above:], known)
    first = told[above][0]
    names = _names(rows[above:], header)
    if header and options.header_row is None and (joined := _joined(rows[above:], known)):
        names, above = column_names(joined, len(joined)), above + 1
        first = told[above][0]
    skipped = [" ".join(filter(None, row))[:60] for row in rows[:above]]
    rest = dropwhile(lambda one: one[0] < first + header, chain(head, numbered))
    return Table(
        path.name,
        names,
        without_totals(_rows(rest, names, known)),
        folder=path.parent,
        details={**details, "header": header} | ({"skipped": skipped} if skipped else {}),
        close=close,
    )


def _head(numbered: Iterator[Numbered]) -> list[Numbered]:
    """The first rows, as many as it takes to have enough with something in them."""
    head: list[Numbered] = []
    count = 0
    for one in numbered:
        head.append(one)
        count += any(map(filled, one[1]))
        if count == _HEADER_ROWS:
            break
    return head


def _width(rows: Sequence[Sequence[str]]) -> int:
    widths = Counter(map(len, rows))
    return max(widths, key=lambda width: (widths[width], width))


def _names(rows: Sequence[Sequence[str]], header: bool) -> list[str]:
    if header:
        return column_names(rows[0], len(rows[0]))
    return column_names(None, max(map(len, rows)))


def _joined(rows: Sequence[list[str]], known: Collection[str]) -> list[str] | None:
    width = max(map(len, rows[:2]))
    return joined_header([row + [""] * (width - len(row)) for row in rows], known)


def _rows(
    numbered: Iterable[Numbered], names: list[str], known: Collection[str]
) -> Iterator[Row | BadRow]:
    width, number, below = len(names), 0, Below(names, known)
    rows = Ahead(row for _, row in numbered)
    for row in rows:
        if not any(map(filled, row)):
            below.blank()
            continue
        number += 1
        cells = [_scalar(cell) for cell in row]
        values = dict(zip(names, cells, strict=False))
        if wrong := below.check(cells, rows.peek):
            yield BadRow(number, *wrong, values)
        elif any(map(filled, cells[width:])):
            yield BadRow(number, "data.ragged", {"given": len(cells), "expected": width}, values)
        else:
            yield Row(number, values | dict.fromkeys(names[len(cells) :]))


def _scalar(cell: Any) -> Any:
    if isinstance(cell, dt.datetime | dt.date | dt.time):
        return cell.isoformat()
    if isinstance(cell, dt.timedelta):
        return str(cell)
    return cell


def peek(cells: Iterable[Sequence[Any]], rows: int) -> list[list[str]]:
    """The first `rows` rows that have something in them, as text."""
    found = (_written(row) for row in cells if any(map(filled, row)))
    return list(islice(found, rows))
