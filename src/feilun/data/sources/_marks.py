"""What a workbook says of a sheet beside its cells: merged cells, what is hidden, formulas that
were never computed. In the XML of ``.xlsx`` and ``.ods``; the records of ``.xls`` and ``.xlsb`` are
read in `_biff`."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

__all__ = ["Marks", "beside", "of_xlsx", "related"]

_MARKS = re.compile(
    rb"""<(?:\w+:)?(?:
      mergeCell\b[^<>]*?\bref=["'](?P<merged>[A-Z]+\d+:[A-Z]+\d+)["']
    | (?P<row>row)\b[^<>]*?\bhidden=["'](?:1|true)["']
    | (?P<col>col\b[^<>]*?\bhidden=["'](?:1|true)["'][^<>]*)
    | c\b[^<>]*?\br=["'](?P<cell>[A-Z]+)\d+["'][^<>]*>\s*<(?:\w+:)?f\b
      (?:[^<>]*/>|[^<>]*>[^<>]*</(?:\w+:)?f>)\s*
      (?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>
    )""",
    re.X,
)
_COL = {name: re.compile(rf"""\b{name}=["'](\d+)["']""".encode()) for name in ("min", "max")}
_LONGEST_MARK = 40_000  # a formula has 8,192 characters, which escapes make longer
_MOST_COLUMNS = 16_384

_INDEX_BYTES = 16 << 20  # of the lists of a workbook's sheets


@dataclass(slots=True)
class Marks:
    """What is said of a sheet beside its cells; columns and rows from 1. `uncomputed` counts the
    formulas of a column of which the file holds no value. `seen` is whether the file's form lets
    hidden rows and columns be seen."""

    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    hidden_rows: int = 0
    hidden_columns: list[int] = field(default_factory=list)
    uncomputed: Counter[int] = field(default_factory=Counter)
    seen: bool = True


def of_xlsx(path: Path, member: str) -> Marks:
    """What the part `member` of a workbook says. It stands before, in and behind the cells, so the
    whole is gone through."""
    from openpyxl.utils.cell import column_index_from_string, range_boundaries

    marks, window, merged = Marks(), b"", set()
    with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        while block := stream.read(1 << 20):
            window += block
            end = 0
            for found in _MARKS.finditer(window):
                end = found.end()
                if found["merged"]:
                    merged.add(range_boundaries(found["merged"].decode()))
                elif found["cell"]:
                    marks.uncomputed[column_index_from_string(found["cell"].decode())] += 1
                elif found["row"]:
                    marks.hidden_rows += 1
                else:
                    marks.hidden_columns += _columns(found["col"])
            window = window[max(end, len(window) - _LONGEST_MARK) :]
    marks.merged = sorted(merged, key=lambda one: one[1])
    return marks


def beside(path: Path, sheet: str) -> Marks:
    """What is said of `sheet` in a workbook of XML whose cells another library reads; nothing,
    unseen, where it cannot be followed."""
    if not zipfile.is_zipfile(path):
        return Marks(seen=False)
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "content.xml" in names:
                with archive.open("content.xml") as stream:
                    return _of_ods(stream, sheet)
            member = _member(archive, sheet) if "xl/workbook.xml" in names else None
        return of_xlsx(path, member) if member in names else Marks(seen=False)
    except (ElementTree.ParseError, ValueError, LookupError):
        return Marks(seen=False)  # the library that reads the cells says what is wrong


def _columns(col: bytes) -> range:
    first, last = (_COL[name].search(col) for name in ("min", "max"))
    if not first or not last:
        return range(0)
    return range(int(first[1]), min(int(last[1]), _MOST_COLUMNS) + 1)


def related(archive: zipfile.ZipFile, member: str, ids: Collection[str]) -> str | None:
    """The part of the workbook that the relations in `member` give one of these `ids`."""
    relations = ElementTree.fromstring(archive.read(member))
    targets = [one.get("Target", "") for one in relations if one.get("Id") in ids]
    if not targets:
        return None
    return targets[0].lstrip("/") if targets[0][:1] == "/" else f"xl/{targets[0]}"


def _member(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The part that holds `sheet`, which the workbook names by a relation."""
    lists = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
    if any(archive.getinfo(name).file_size > _INDEX_BYTES for name in lists):
        return None
    book = ElementTree.fromstring(archive.read(lists[0]))
    wanted = [one for one in book.iter() if _tag(one) == "sheet" and one.get("name") == sheet]
    ids = {value for one in wanted for name, value in one.items() if name.endswith("}id")}
    return related(archive, lists[1], ids)


def _of_ods(stream: IO[bytes], sheet: str) -> Marks:
    marks, inside, column = Marks(), False, 0
    for event, one in ElementTree.iterparse(stream, ("start", "end")):
        tag = _tag(one)
        if tag == "table":
            if event == "end" and inside:
                return marks
            inside = inside or _own(one, "name") == sheet
        elif event == "end" and tag == "table-column" and inside:
            times = _times(one, "number-columns-repeated")
            if _hidden(one):
                marks.hidden_columns += range(column + 1, column + 1 + times)
            column += times
        elif event == "end" and tag == "table-row":
            if inside:
                _look(one, marks)
            one.clear()
    return marks


def _look(row: Any, marks: Marks) -> None:
    """Notes a row that is hidden and holds something, and its formulas without a value."""
    column, holds = 0, False
    for cell in row:
        column += 1
        valued = _own(cell, "value-type") is not None
        holds = holds or valued
        if _own(cell, "formula") is not None and not valued:
            marks.uncomputed[column] += 1
        column += _times(cell, "number-columns-repeated") - 1
    if holds and _hidden(row):
        marks.hidden_rows += _times(row, "number-rows-repeated")


def _hidden(one: Any) -> bool:
    return _own(one, "visibility") in ("collapse", "filter")


def _times(one: Any, name: str) -> int:
    return min(int(_own(one, name) or 1), _MOST_COLUMNS)


def _own(one: Any, name: str) -> str | None:
    """The attribute of this name, whatever its namespace."""
    found: Iterator[str] = (value for key, value in one.items() if key.endswith("}" + name))
    return next(found, None)


def _tag(one: Any) -> str:
    return str(one.tag).rpartition("}")[2]
