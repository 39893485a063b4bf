"""Excel and OpenDocument sheets. ``.xlsx`` streams; the older and binary forms are read whole,
which their own limits (65,536 rows for ``.xls``) keep small."""

from __future__ import annotations

import datetime as dt
import math
import re
import warnings
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from feilun.data.sources._dialect import column_names, has_header
from feilun.data.sources.base import BadRow, Options, Table
from feilun.errors import InvalidData, UsageError
from feilun.types import Row

__all__ = ["open_tables"]

_MAX_STRINGS = 512 << 20
"""Bytes that the shared texts of a workbook may have once unpacked; they are held in memory."""
_HEADER_ROWS = 100
# What openpyxl lets through from the archive and the XML inside it.
_BROKEN = (
    OSError, EOFError, ValueError, LookupError, SyntaxError, TypeError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip

_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")
_MERGED = re.compile(rb"""<(?:\w+:)?mergeCell\b[^<>]*?\bref=["']([A-Z]+\d+:[A-Z]+\d+)["']""")
_MERGED_BYTES = 200

Cells = Iterator[Sequence[Any]]


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The table of one sheet: the one named, else the first. Rows are numbered from 1 below the
    header; empty ones do not count."""
    path = Path(location)
    opener = _open_xlsx if _is_xlsx(path) else _open_other
    try:
        sheets, sheet, cells, close = opener(path, options.sheet)
        cells = (row for row in cells if any(_filled(cell) for cell in row))
        head = list(islice(cells, _HEADER_ROWS))
    except _BROKEN as error:
        raise InvalidData("data.damaged", file=path, format="Excel", reason=str(error)) from None
    if not head:
        close()
        raise InvalidData("data.empty_file", file=path)
    written = [["" if not _filled(c) else str(c) for c in row] for row in head]
    header = has_header(written, known) if options.header is None else options.header
    width = max(len(row) for row in head)
    if header:
        width = max(i + 1 for i, cell in enumerate(written[0]) if cell)
    names = column_names(written[0] if header else None, width)
    rows = chain(head[1:] if header else head, cells)
    return [
        Table(
            path.name,
            names,
            _rows(path, rows, names),
            folder=path.parent,
            details={"format": "Excel", "sheet": sheet, "sheets": sheets, "header": header},
            close=close,
        )
    ]


def _rows(path: Path, rows: Iterable[Sequence[Any]], names: list[str]) -> Iterator[Row | BadRow]:
    width = len(names)
    try:
        for number, row in enumerate(rows, 1):
            cells = [_scalar(cell) for cell in row]
            if any(_filled(cell) for cell in cells[width:]):
                params = {"given": len(cells), "expected": width}
                yield BadRow(number, "data.ragged", params, dict(zip(names, cells, strict=False)))
                continue
            cells += [None] * (width - len(cells))
            yield Row(number, dict(zip(names, cells, strict=False)))
    except _BROKEN as error:
        raise InvalidData("data.damaged", file=path, format="Excel", reason=str(error)) from None


def _scalar(cell: Any) -> Any:
    if isinstance(cell, dt.datetime | dt.date | dt.time):
        return cell.isoformat()
    if isinstance(cell, dt.timedelta):
        return str(cell)
    return cell


def _filled(cell: Any) -> bool:
    return cell is not None and cell != "" and not (isinstance(cell, float) and math.isnan(cell))


def _is_xlsx(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "xl/workbook.xml" in archive.namelist()


def _choose(path: Path, sheets: list[str], wanted: str | None) -> str:
    if wanted is not None and wanted not in sheets:
        raise UsageError("data.no_sheet", file=path, sheet=wanted, options=sheets)
    return wanted or sheets[0]


def _open_xlsx(path: Path, wanted: str | None) -> tuple[list[str], str, Cells, Callable[[], None]]:
    import openpyxl

    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith("sharedStrings.xml") and member.file_size > _MAX_STRINGS:
                raise InvalidData("data.workbook_too_large", file=path, limit=_MAX_STRINGS)
    raw = path.open("rb")  # by its handle, because the library goes by the file's name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and validations that are not read anyway
            try:
                book = openpyxl.load_workbook(raw, read_only=True, data_only=True, keep_links=False)
            except _BROKEN:  # often only its styles, which the other reader does not look at
                book = None
        sheets = [sheet.title for sheet in book.worksheets] if book else []
        if book is None or not sheets:  # strict OOXML shows no sheets
            raw.close()
            return _open_other(path, wanted)
        sheet = book[_choose(path, sheets, wanted)]
    except BaseException:
        raw.close()
        raise
    sheet.reset_dimensions()  # some programs write wrong ones
    cells: Cells = ([_value(cell) for cell in row] for row in sheet.iter_rows())
    merged = _merged(path, sheet._worksheet_path.lstrip("/"))
    return sheets, sheet.title, _unmerged(cells, merged), raw.close


def _merged(path: Path, member: str) -> list[tuple[int, int, int, int]]:
    """The merged ranges: first column, first row, last column, last row, from 1, by first row.
    They stand behind the cells, so the sheet is gone through once for them alone."""
    from openpyxl.utils.cell import range_boundaries

    found, window = [], b""
    with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        while block := stream.read(1 << 20):
            window = window[-_MERGED_BYTES:] + block
            found += [ref.decode() for ref in _MERGED.findall(window)]
    return sorted((range_boundaries(ref) for ref in set(found)), key=lambda one: one[1])


def _unmerged(cells: Cells, merged: Sequence[tuple[int, int, int, int]]) -> Cells:
    """The rows, where a merged cell's value holds for every row that it covers. Only downwards:
    a cell over several columns is a title, and each column has a meaning of its own."""
    waiting = deque(merged)
    held: dict[int, tuple[int, Any]] = {}
    for number, row in enumerate(cells, 1):
        while waiting and waiting[0][1] <= number:
            column, _, _, last = waiting.popleft()
            if last > number:
                held[column] = (last, row[column - 1] if column <= len(row) else None)
        filled = any(_filled(cell) for cell in row)
        if held and filled:  # a row with nothing of its own is none
            row = list(row)
            for column, (_, value) in held.items():
                row += [None] * (column - len(row))
                row[column - 1] = value
        held = {column: one for column, one in held.items() if one[0] > number}
        yield row


def _value(cell: Any) -> Any:
    """A cell's value: none where its formula failed, text without the escapes of OOXML."""
    value = cell.value
    if cell.data_type == "e":
        return None
    if isinstance(value, str) and "_x" in value:
        value = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), value)
        # Escaped halves of a character become the character; a lone half is none.
        value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def _open_other(path: Path, wanted: str | None) -> tuple[list[str], str, Cells, Callable[[], None]]:
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(path)
        sheets = list(book.sheet_names)
        if not sheets:
            raise InvalidData("data.empty_file", file=path)
        name = _choose(path, sheets, wanted)
        rows = book.get_sheet_by_name(name).iter_rows()
    except python_calamine.CalamineError as error:
        raise InvalidData("data.damaged", file=path, format="Excel", reason=str(error)) from None
    return sheets, name, rows, book.close
