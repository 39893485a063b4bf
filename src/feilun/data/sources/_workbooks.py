"""Workbooks by the two libraries that read them: sheets, their cells, and what is said of these.

``.xlsx`` streams; the older and binary forms are read whole, which their own limits (65,536 rows
for ``.xls``) keep small."""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from feilun.data.sources._biff import of_binary
from feilun.data.sources._cells import filled
from feilun.data.sources._marks import Marks, beside, of_xlsx
from feilun.errors import InvalidData

__all__ = ["BROKEN", "Marks", "Workbook", "open_workbook"]

_MAX_STRINGS = 512 << 20
"""Bytes that the shared texts of a workbook may have once unpacked; they are held in memory."""
# What openpyxl lets through from the archive and the XML inside it.
BROKEN = (
    OSError, EOFError, ValueError, LookupError, SyntaxError, TypeError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip

_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")
Cells = Iterator[Sequence[Any]]


class Workbook(Protocol):
    """An open workbook: the names of its `sheets`, those that are hidden."""

    sheets: list[str]
    hidden: set[str]

    def cells(self, sheet: str) -> Cells:
        """The rows of a sheet, blank ones too, without what is said of merged cells."""

    def marks(self, sheet: str) -> Marks:
        """What is said of the sheet beside its cells."""

    def close(self) -> None:
        """Lets go of the file."""


def open_workbook(path: Path) -> Workbook:
    """The workbook by the reader that streams it, where that can. Raises `BROKEN` errors and
    `InvalidData` for what neither can read."""
    if _is_xlsx(path):
        book = _Xlsx(path)
        if book.sheets:  # strict OOXML shows no sheets
            return book
        book.close()
    return _Other(path)


def unmerged(cells: Cells, merged: Sequence[tuple[int, int, int, int]]) -> Cells:
    """The rows, where a merged cell's value holds for every row that it covers. Only downwards:
    a cell over several columns is a title, and each column has a meaning of its own."""
    waiting = deque(merged)
    held: dict[int, tuple[int, Any]] = {}
    for number, row in enumerate(cells, 1):
        while waiting and waiting[0][1] <= number:
            column, _, _, last = waiting.popleft()
            if last > number:
                held[column] = (last, row[column - 1] if column <= len(row) else None)
        if held and any(map(filled, row)):  # a row with nothing of its own is none
            row = list(row)
            for column, (_, value) in held.items():
                row += [None] * (column - len(row))
                row[column - 1] = value
        held = {column: one for column, one in held.items() if one[0] > number}
        yield row


def _is_xlsx(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "xl/workbook.xml" in archive.namelist()


class _Xlsx:
    """By openpyxl, a row at a time."""

    def __init__(self, path: Path) -> None:
        import openpyxl

        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if (
                    member.filename.endswith("sharedStrings.xml")
                    and member.file_size > _MAX_STRINGS
                ):
                    raise InvalidData("data.workbook_too_large", file=path, limit=_MAX_STRINGS)
        self._path = path
        self._raw = path.open("rb")  # by its handle, because the library goes by the file's name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # styles and validations that are not read anyway
                self._book = openpyxl.load_workbook(
                    self._raw, read_only=True, data_only=True, keep_links=False
                )
        except BROKEN:  # often only its styles, which the other reader does not look at
            self._book = None
        except BaseException:
            self._raw.close()
            raise
        found = self._book.worksheets if self._book else []
        self.sheets = [sheet.title for sheet in found]
        self.hidden = {sheet.title for sheet in found if sheet.sheet_state != "visible"}

    def cells(self, sheet: str) -> Cells:
        page = self._book[sheet]
        page.reset_dimensions()  # some programs write wrong ones
        return ([_value(cell) for cell in row] for row in page.iter_rows())

    def marks(self, sheet: str) -> Marks:
        return of_xlsx(self._path, self._book[sheet]._worksheet_path.lstrip("/"))

    def close(self) -> None:
        self._raw.close()


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


class _Other:
    """By calamine: ``.xls``, ``.xlsb``, ``.ods``, and ``.xlsx`` that the other one cannot read."""

    def __init__(self, path: Path) -> None:
        import python_calamine

        self._path = path
        try:
            with path.open("rb") as raw:  # by its content, not by its name
                self._book = python_calamine.CalamineWorkbook.from_filelike(raw)
        except python_calamine.CalamineError as error:
            raise self._damaged(error) from None
        self.sheets = list(self._book.sheet_names)
        visible = python_calamine.SheetVisibleEnum.Visible
        self.hidden = {s.name for s in self._book.sheets_metadata if s.visible != visible}
        self._open: dict[str, Any] = {}

    def cells(self, sheet: str) -> Cells:
        page = self._page(sheet)
        before = [None] * (page.start[1] if page.start else 0)
        return ([*before, *(None if c == "" else c for c in row)] for row in page.iter_rows())

    def marks(self, sheet: str) -> Marks:
        ranges = self._page(sheet).merged_cell_ranges or []
        merged = [(c + 1, r + 1, to_c + 1, to_r + 1) for (r, c), (to_r, to_c) in ranges]
        marks = of_binary(self._path, sheet) or beside(self._path, sheet)
        marks.merged = sorted(merged or marks.merged, key=lambda one: one[1])
        return marks

    def close(self) -> None:
        self._open.clear()
        self._book.close()

    def _page(self, sheet: str) -> Any:
        import python_calamine

        if sheet not in self._open:
            try:
                self._open = {sheet: self._book.get_sheet_by_name(sheet)}
            except python_calamine.CalamineError as error:
                raise self._damaged(error) from None
        return self._open[sheet]

    def _damaged(self, error: Exception) -> InvalidData:
        return InvalidData("data.damaged", file=self._path, format="Excel", reason=str(error))
