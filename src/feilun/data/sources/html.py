"""Tables of HTML pages and of the XML that Excel 2003 wrote, which many programs export under the
name ``.xls``."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from feilun.data.sources._cells import filled, table_of_cells
from feilun.data.sources._encodings import Found
from feilun.data.sources._text import DAMAGE, MAX_CELL, find_encoding, open_text
from feilun.data.sources.base import Options, Table
from feilun.errors import InvalidData, UsageError

__all__ = ["is_page", "open_tables"]

_BLOCK = 1 << 16
_HEAD = 4096
_BEGIN = re.compile(r"\s*<(!doctype\s+html|html|head|meta|style|body|div|table|\?xml|!--)", re.I)
_CHARSET = re.compile(rb"""(?:charset|<\?xml[^>]*encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.I)
_ROWS = {"tr", "row"}
_CELLS = {"td", "th", "cell"}
_LINES = {"br", "p", "div", "li"}
_UNSEEN = {"script", "style", "title"}
_SPACE = re.compile(r"[ \t\r\n\f]+")
_MOST_COLUMNS = 16_384


def is_page(text: str) -> bool:
    """Whether a text begins as a page, or as a workbook of Excel 2003."""
    return bool(_BEGIN.match(text)) and bool(
        re.search(r"<(html|table|ss:workbook|workbook)\b", text, re.I)
    )


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The table with the most rows, or the one named or numbered as a sheet. A cell over several
    rows holds for each of them. Raises `InvalidData` for a page without a table."""
    path = Path(location)
    found = Found(options.encoding) if options.encoding else _encoding(path)
    tables: list[_Grid] = []
    for grid, _ in _rows(path, found.encoding):
        if grid not in tables:
            tables.append(grid)
    if not tables:
        raise InvalidData("formats.no_html_table", file=path)
    names = [grid.name or str(number) for number, grid in enumerate(tables, 1)]
    place = _chosen(path, names, tables, options.sheet)
    number = tables[place].number
    others = [name for i, name in enumerate(names) if i != place and tables[i].several > 1]
    cells = (cells for grid, cells in _rows(path, found.encoding) if grid.number == number)
    details: dict[str, Any] = {"format": "HTML", "encoding": found.encoding}
    if len(names) > 1:
        details |= {"sheet": names[place], "sheets": names}
    if others and options.sheet is None:
        details["other_sheets"] = others
    if found.examples:
        details["guessed"] = list(found.examples)
    return [table_of_cells(path, cells, options, known, details=details)]


def _chosen(path: Path, names: list[str], tables: list[_Grid], wanted: str | None) -> int:
    if wanted is None:
        return max(range(len(tables)), key=lambda i: (tables[i].several, -i))
    plain = wanted.strip().casefold()
    for place, name in enumerate(names):
        if name.casefold() == plain:
            return place
    if plain.isdecimal() and 0 < int(plain) <= len(names):
        return int(plain) - 1
    raise UsageError("data.no_sheet", file=path, sheet=wanted, options=names)


def _encoding(path: Path) -> Found:
    """What the page says of itself, where its bytes do not say otherwise."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    said = _CHARSET.search(head)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or head[:3] == b"\xef\xbb\xbf" or not said:
        return find_encoding(path)
    name = said[1].decode()
    try:
        "".encode(name)
    except LookupError:
        return find_encoding(path)
    # As browsers do: whoever says Latin-1 means what Windows makes of it.
    return Found(
        "cp1252" if name.lower() in ("iso-8859-1", "latin1", "ascii", "us-ascii") else name
    )


def _rows(path: Path, encoding: str) -> Iterator[tuple[_Grid, list[Any]]]:
    """The rows of all tables in the order in which they end, each with its table."""
    stream, _ = open_text(path, encoding)
    page = _Page(path)
    try:
        while block := stream.text.read(_BLOCK):
            page.feed(block.replace(DAMAGE, "\ufffd"))
            while page.done:
                yield page.done.popleft()
        page.close()
        page.end_all()
        yield from page.done
    finally:
        stream.close()


@dataclass(eq=False)
class _Grid:
    """A table while it is read. `several` counts its rows of more than one cell; `held` are the
    values of cells that hold for rows to come, by column."""

    number: int
    name: str = ""
    several: int = 0
    row: list[Any] | None = None
    cell: list[str] | None = None
    span: tuple[int, int] = (1, 1)
    held: dict[int, tuple[int, Any]] = field(default_factory=dict)


class _Page(HTMLParser):
    """Rows out of tags; those of a table inside a cell are a table of their own."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.done: deque[tuple[_Grid, list[Any]]] = deque()
        self._path = path
        self._open: list[_Grid] = []
        self._count = 0
        self._name = ""
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        tag = tag.rpartition(":")[2]
        given = {name.rpartition(":")[2]: value or "" for name, value in attrs}
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "worksheet":
            self._name = given.get("name", "")
        elif tag == "table":
            self._count += 1
            self._open.append(_Grid(self._count, self._name))
        elif self._open:
            self._inside(self._open[-1], tag, given)

    def _inside(self, grid: _Grid, tag: str, given: dict[str, str]) -> None:
        if tag in _ROWS:
            self._end_row(grid)
            if given.get("index"):  # blank rows are left out, and the next one is numbered
                self.done.append((grid, []))
            grid.row = []
        elif tag in _CELLS and grid.row is not None:
            self._end_cell(grid)
            place = _number(given.get("index", ""), 0)
            grid.row += [None] * (place - 1 - len(grid.row))
            self._fill(grid)
            down = _number(given.get("rowspan", ""), 1) + _number(given.get("mergedown", ""), 0)
            across = _number(given.get("colspan", ""), 1) + _number(given.get("mergeacross", ""), 0)
            grid.span, grid.cell = (max(1, down), max(1, across)), []
        elif tag in _LINES and grid.cell:
            grid.cell.append("\0")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        tag = tag.rpartition(":")[2]
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif self._open:
            grid = self._open[-1]
            if tag in _CELLS:
                self._end_cell(grid)
            elif tag in _ROWS:
                self._end_row(grid)
            elif tag == "table":
                self._end_row(grid)
                self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1].cell is not None and not self._unseen:
            cell = self._open[-1].cell
            cell.append(data)
            if len(cell) > 1000:
                cell[:] = ["".join(cell)]
                if len(cell[0]) > MAX_CELL:
                    raise InvalidData("data.line_too_long", file=self._path, limit=MAX_CELL)

    def end_all(self) -> None:
        """Ends what the page left open."""
        while self._open:
            self._end_row(self._open.pop())

    def _end_cell(self, grid: _Grid) -> None:
        if grid.cell is None or grid.row is None:
            return
        text = _SPACE.sub(" ", "".join(grid.cell).replace("\xa0", " "))
        value = re.sub(r" ?\0 ?", "\n", text).strip()
        down, across = grid.span
        if down > 1:
            grid.held[len(grid.row)] = (down - 1, value)
        grid.row += [value or None, *[None] * (min(across, _MOST_COLUMNS) - 1)]
        grid.cell = None

    def _fill(self, grid: _Grid) -> None:
        """Puts the cells of earlier rows that reach down to here."""
        assert grid.row is not None
        while (held := grid.held.get(len(grid.row))) is not None:
            left, value = held
            grid.held[len(grid.row)] = (left - 1, value)
            if left <= 1:
                del grid.held[len(grid.row)]
            grid.row.append(value or None)

    def _end_row(self, grid: _Grid) -> None:
        self._end_cell(grid)
        if grid.row is None:
            return
        self._fill(grid)
        grid.several += sum(map(filled, grid.row)) > 1
        self.done.append((grid, grid.row))
        grid.row = None


def _number(text: str, default: int) -> int:
    text = text.strip()
    return min(int(text), _MOST_COLUMNS) if text.isascii() and text.isdigit() else default
