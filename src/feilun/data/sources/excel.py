"""Excel and OpenDocument workbooks: which sheet has the table, and what it holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from feilun.data.sources._cells import peek, table_of_cells
from feilun.data.sources._workbooks import BROKEN, Marks, Workbook, open_workbook, unmerged
from feilun.data.sources.base import Options, Table
from feilun.errors import InvalidData, UsageError

__all__ = ["open_tables"]

_PEEKED = 20
_MOST_SHEETS = 50


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The table of one sheet: the one named or numbered, else the first that has one. Rows are
    numbered from 1 below the header; empty ones do not count."""
    path = Path(location)
    book = None
    try:
        book = open_workbook(path)
        if not book.sheets:
            raise InvalidData("data.empty_file", file=path)
        sheet, others = _choose(path, book, options.sheet, known)
        marks = book.marks(sheet)
        cells = unmerged(book.cells(sheet), marks.merged)
        details = {"format": "Excel", "sheet": sheet, "sheets": book.sheets}
        if others:
            details["other_sheets"] = others
        hidden = [name for name in book.sheets if name in book.hidden and name != sheet]
        if hidden and options.sheet is None:
            details["hidden_sheets"] = hidden
        table = table_of_cells(
            path, _guarded(path, cells), options, known, details=details, close=book.close
        )
    except BROKEN as error:
        if book:
            book.close()
        raise _damaged(path, error) from None
    except BaseException:
        if book:
            book.close()
        raise
    _tell(table, marks)
    return [table]


def _choose(
    path: Path, book: Workbook, wanted: str | None, known: Collection[str]
) -> tuple[str, list[str]]:
    """The sheet to read, and further ones that have tables too."""
    names = book.sheets
    if wanted is not None:
        plain = wanted.strip().casefold()
        named = [n for n in names if n == wanted] or [n for n in names if n.casefold() == plain]
        if not named and plain.isdecimal() and 0 < int(plain) <= len(names):
            named = [names[int(plain) - 1]]
        if not named:
            raise UsageError("data.no_sheet", file=path, sheet=wanted, options=names)
        return named[0], []
    if len(names) == 1:
        return names[0], []
    shown = [name for name in names if name not in book.hidden][:_MOST_SHEETS] or names[:1]
    looked = {name: peek(book.cells(name), _PEEKED) for name in shown}
    tables = [name for name in shown if _is_table(looked[name], known)]
    first = shown[0]
    if first in tables or not tables:
        return first, [name for name in tables if name != first]
    if len(tables) > 1:
        raise InvalidData("formats.which_sheet", file=path, options=tables)
    return tables[0], [name for name in shown if name != tables[0] and looked[name]]


def _is_table(rows: Sequence[Sequence[str]], known: Collection[str]) -> bool:
    """Whether most rows have more than one cell, or a name that headers have stands above."""
    if len(rows) < 2:
        return False
    several = sum(sum(map(bool, row)) > 1 for row in rows)
    named = any(cell.strip().casefold() in known for row in rows[:3] for cell in row)
    return named or (several > 1 and 2 * several >= len(rows))


def _tell(table: Table, marks: Marks) -> None:
    """What of the marks concerns the columns of the table."""
    names = dict(enumerate(table.columns, 1))
    if not marks.seen:
        table.details["hidden_unseen"] = True
    if marks.hidden_rows:
        table.details["hidden_rows"] = marks.hidden_rows
    hidden = [names[column] for column in marks.hidden_columns if column in names]
    if hidden:
        table.details["hidden_columns"] = hidden
    uncomputed = [names[column] for column in sorted(marks.uncomputed) if column in names]
    if uncomputed:
        table.details["uncomputed"] = uncomputed


def _guarded(path: Path, cells: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    try:
        yield from cells
    except BROKEN as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: BaseException) -> InvalidData:
    return InvalidData("data.damaged", file=path, format="Excel", reason=str(error))
