"""Workbooks as people keep them: titles, several sheets, formulas, merged and hidden cells."""

from __future__ import annotations

import csv
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from feilun.data._warnings import source_warnings
from feilun.data.outcome import SourceReport
from feilun.data.reading import open_readings
from feilun.data.sources import Source, Table, open_tables
from feilun.data.sources._around import Ahead
from feilun.data.sources.base import ReadOptions
from feilun.errors import FeilunError, InvalidData, UsageError
from helpers.builds import build_version, rows_of, table_of, texts_task

HEADER = ["no", "review", "stars"]
BODY = [[n, f"kettle {n} was neat and cheerful", n % 5] for n in range(30)]
VOICES = [{"no": n, "review": text, "stars": stars} for n, text, stars in BODY]


def workbook(file: Path, change: Callable[[Worksheet], None] | None = None, **sheets: Any) -> Path:
    """A workbook with the rows of each sheet; `change` is done to the last one."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        page = book.create_sheet(name.replace("_", " "))
        for row in rows:
            page.append(row)
    if change:
        change(page)
    book.save(file)
    return file


def told(table: Table) -> list[str]:
    """The keys of what is told of how the table was read."""
    return [n.code for n in source_warnings([SourceReport(table.name, 1, 0, None, table.details)])]


def code_of(file: Path, **options: Any) -> str:
    with pytest.raises(FeilunError) as caught:
        open_readings(Source(file, ReadOptions(**options).options()), texts_task())
    assert str(caught.value)
    return caught.value.code


@pytest.mark.parametrize(
    ("above", "lines"),
    [
        ([], []),
        ([["Voices of October"]], ["Voices of October"]),
        ([[], ["Voices"], ["from the shop"], []], ["Voices", "from the shop"]),
        ([[None, None, "on the right"]], ["on the right"]),
    ],
)
def test_titles_above_are_skipped_and_told(tmp_path: Path, above: Any, lines: list[str]) -> None:
    table = table_of(workbook(tmp_path / "a.xlsx", S=[*above, HEADER, *BODY]))
    assert table.columns == tuple(HEADER)
    assert table.details.get("skipped", []) == lines
    assert told(table) == ["formats.skipped_lines"] * bool(lines)
    assert rows_of(table) == VOICES


def test_a_header_row_that_is_given(tmp_path: Path) -> None:
    rows = [["one", "two", "three"], [], HEADER, *BODY]
    file = workbook(tmp_path / "a.xlsx", S=rows)
    table = table_of(file, header_row=3)
    assert table.columns == tuple(HEADER)
    assert rows_of(table) == VOICES
    assert code_of(file, header_row=2) == code_of(file, header_row=99) == "formats.no_header_row"
    with pytest.raises(UsageError):
        ReadOptions(header_row=0)


def test_the_second_of_two_headers_names_the_columns(tmp_path: Path) -> None:
    first = ["Respondent", "What do you think of it?", "Overall"]
    second = [None, "Open-Ended Response", "category"]
    table = table_of(workbook(tmp_path / "a.xlsx", S=[first, second, *BODY]))
    assert table.columns == ("Respondent", "Open-Ended Response", "category")
    assert len(rows_of(table)) == 30
    assert told(table) == ["formats.skipped_lines"]


def test_the_sheet_with_the_table_is_found_and_others_are_told(tmp_path: Path) -> None:
    notes = [["How to fill in this form"], ["Write one voice a line."], ["Ask B. when unsure."]]
    file = workbook(tmp_path / "a.xlsx", Read_me=notes, Data=[HEADER, *BODY])
    table = table_of(file)
    assert table.details["sheet"] == "Data"
    assert table.details["other_sheets"] == ["Read me"]
    assert told(table) == ["formats.other_sheets"]
    assert rows_of(table) == VOICES

    more = [["review", "stars"], *[[f"lamp {n}", n] for n in range(5)]]
    file = workbook(tmp_path / "b.xlsx", May=[HEADER, *BODY], June=more, Notes=notes)
    table = table_of(file)
    assert (table.details["sheet"], table.details["other_sheets"]) == ("May", ["June"])
    table.close()
    for given in ("June", "june", "2", " JUNE "):
        assert rows_of(table_of(file, sheet=given))[4] == {"review": "lamp 4", "stars": 4}
    assert code_of(file, sheet="0") == code_of(file, sheet="4") == "data.no_sheet"

    file = workbook(tmp_path / "c.xlsx", Notes=notes, May=[HEADER, *BODY], June=more)
    with pytest.raises(InvalidData) as caught:
        table_of(file)
    assert "May" in str(caught.value)
    assert "--sheet" in str(caught.value)


def test_a_sheet_whose_name_is_a_number_goes_before_the_place(tmp_path: Path) -> None:
    file = workbook(tmp_path / "a.xlsx", **{"2": [HEADER, *BODY], "1": [["text"], ["a"], ["b"]]})
    assert rows_of(table_of(file, sheet="2")) == VOICES


def test_a_refusal_names_the_sheets(tmp_path: Path) -> None:
    rows = [["name", "town"], *[[f"n{n}", f"t{n}"] for n in range(30)]]
    file = workbook(tmp_path / "a.xlsx", People=rows, Voices=[HEADER, *BODY])
    with pytest.raises(InvalidData) as caught:
        open_readings(Source(file, columns={"text": "review"}), texts_task())
    assert all(word in str(caught.value) for word in ("People", "Voices", "--sheet"))


def test_hidden_sheets_are_not_chosen(tmp_path: Path) -> None:
    file = workbook(tmp_path / "a.xlsx", Old=[HEADER, [1, "old", 2]], New=[HEADER, *BODY])
    book = openpyxl.load_workbook(file)
    book["Old"].sheet_state = "hidden"
    book.active = 1
    book.save(file)
    table = table_of(file)
    assert table.details["sheet"] == "New"
    assert told(table) == ["formats.hidden_sheets"]
    assert rows_of(table) == VOICES
    assert len(rows_of(table_of(file, sheet="Old"))) == 1


def test_formulas_that_were_never_computed(tmp_path: Path) -> None:
    header = ["review", "score", "category"]
    rows = [[text, n, f'=IF(B{n + 2}>3,"praise","complaint")'] for n, text, _ in BODY]
    file = workbook(tmp_path / "a.xlsx", S=[header, *rows])
    with pytest.raises(InvalidData) as caught:
        open_readings(Source(file), texts_task())
    assert caught.value.code == "formats.uncomputed"
    assert caught.value.params["columns"] == ["category"]
    # Whoever says that another column is the label does not need them.
    (reading,) = open_readings(Source(file, columns={"label": "score"}), texts_task())
    assert len([*reading]) == 30
    assert told(reading.table) == ["formats.uncomputed_column"]
    code = "formats.uncomputed"
    assert code_of(workbook(tmp_path / "b.xlsx", S=[header, *[["=A1", 1, "x"]] * 9])) == code


def test_formulas_that_were_computed_are_values(tmp_path: Path) -> None:
    rows = [["review", "category"], *[[text, "=1+1"] for _, text, _ in BODY]]
    file = workbook(tmp_path / "a.xlsx", S=rows)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as new:
        for name in old.namelist():
            new.writestr(name, re.sub(rb"<v ?/>|<v></v>", b"<v>2</v>", old.read(name)))
    table = table_of(tmp_path / "b.xlsx")
    assert "uncomputed" not in table.details
    assert {row["category"] for row in rows_of(table)} == {2}  # type: ignore[index]


def test_what_the_second_reader_opens_is_told_of_too(tmp_path: Path) -> None:
    """Workbooks that only calamine reads: one whose styles are broken, and OpenDocument."""
    plain = tmp_path / "plain.xlsx"
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.append(["no", "text", "label"])
    for number in range(1, 31):
        page.append([number, f"text {number}", ("a", "b")[number % 2]])
    page["C5"] = "=1+1"
    page.column_dimensions["A"].hidden = True
    for number in (3, 4):
        page.row_dimensions[number].hidden = True
    book.save(plain)
    odd = tmp_path / "odd.xlsx"
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(odd, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"gray125", b"a fill of ours"))
    [table] = open_tables(Source(odd))
    assert (table.details["hidden_rows"], table.details["hidden_columns"]) == (2, ["no"])
    assert table.details["uncomputed"] == ["label"]
    assert len(list(table.rows())) == 30

    [table] = open_tables(Source(write_ods(tmp_path / "a.ods")))
    assert (table.details["hidden_rows"], table.details["hidden_columns"]) == (3, ["no"])
    assert table.details["uncomputed"] == ["label"]


def write_ods(file: Path) -> Path:
    """A sheet with a hidden column, three hidden rows of which two are alike, and a formula that
    was never computed; a hidden rest of the sheet, which holds nothing."""
    names = {
        "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
        "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
        "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
    }

    def row(cells: Sequence[str], more: str = "") -> str:
        inner = "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p>'
            "</table:table-cell>"
            for cell in cells
        )
        return f"<table:table-row {more}>{inner}</table:table-row>"

    hidden = 'table:visibility="collapse"'
    rows = [row(["no", "text", "label"])]
    rows += [row([str(n), f"text {n}", "ab"[n % 2]]) for n in range(20)]
    rows += [row(["x", "hidden", "a"], hidden + ' table:number-rows-repeated="2"')]
    rows += [row(["y", "filtered", "b"], 'table:visibility="filter"')]
    formula = '<table:table-cell table:formula="of:=1+1"/></table:table-row>'
    rows += [row(["z", "computed"]).replace("</table:table-row>", formula)]
    rows += [f'<table:table-row {hidden} table:number-rows-repeated="1000"><table:table-cell/>']
    spaces = " ".join(f'xmlns:{name}="{address}"' for name, address in names.items())
    content = (
        f"<office:document-content {spaces}><office:body><office:spreadsheet>"
        f'<table:table table:name="S"><table:table-column {hidden}/>'
        f'<table:table-column table:number-columns-repeated="2"/>{"".join(rows)}</table:table-row>'
        "</table:table></office:spreadsheet></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    entry = '<manifest:file-entry manifest:full-path="{}" manifest:media-type="{}"/>'
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        f"{entry.format('/', kind)}{entry.format('content.xml', 'text/xml')}</manifest:manifest>"
    )
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", manifest)
    return file


def test_hidden_rows_and_columns_are_told(tmp_path: Path) -> None:
    def hide(page: Worksheet) -> None:
        page.column_dimensions["A"].hidden = True
        for number in (3, 4, 9):
            page.row_dimensions[number].hidden = True

    table = table_of(workbook(tmp_path / "a.xlsx", hide, S=[HEADER, *BODY]))
    assert table.details["hidden_rows"] == 3
    assert table.details["hidden_columns"] == ["no"]
    assert told(table) == ["formats.hidden_rows", "formats.hidden_columns"]
    assert rows_of(table) == VOICES


def write_xls(file: Path, rows: Sequence[Sequence[Any]], hidden: Sequence[int]) -> Path:
    """BIFF8 in a compound file: the first column and the rows `hidden` (from 1) are not shown."""

    def record(kind: int, *parts: bytes) -> bytes:
        data = b"".join(parts)
        return struct.pack("<HH", kind, len(data)) + data

    def text(value: str, size: str) -> bytes:
        return struct.pack(size + "B", len(value), 1) + value.encode("utf-16-le")

    def begin(kind: int) -> bytes:
        return record(0x809, struct.pack("<HHHHII", 0x600, kind, 0, 0, 0, 0))

    sheet = begin(0x10) + record(0x7D, struct.pack("<6H", 0, 0, 2000, 0, 1, 0))
    for number, row in enumerate(rows):
        flags = 0x100 | 0x20 * (number + 1 in hidden)
        sheet += record(0x208, struct.pack("<6HI", number, 0, len(row), 255, 0, 0, flags))
        for column, value in enumerate(row):
            place = struct.pack("<3H", number, column, 0)
            if isinstance(value, str):
                sheet += record(0x204, place, text(value, "<H"))
            else:
                sheet += record(0x203, place, struct.pack("<d", value))
    # A chart inside the sheet has rows of its own.
    sheet += begin(0x20) + record(0x208, struct.pack("<6HI", 0, 0, 9, 0, 0, 0, 0x20)) + record(10)
    sheet += record(0xE5, struct.pack("<5H", 1, 1, 3, 2, 2)) + record(10)
    name = text("Données", "<B")
    head = len(begin(5)) + len(record(0x85, struct.pack("<IH", 0, 0), name)) + len(record(10))
    book = begin(5) + record(0x85, struct.pack("<IH", head, 0), name) + record(10) + sheet
    book = book.ljust(-(-max(len(book), 4096) // 512) * 512, b"\0")
    sectors = len(book) // 512
    last, free = 0xFFFFFFFE, 0xFFFFFFFF
    # The table of sectors stands first, then the directory, then the workbook.
    table = [0xFFFFFFFD, last, *range(3, sectors + 2), last]
    assert len(table) <= 128
    header = bytes.fromhex("D0CF11E0A1B11AE1") + bytes(16)
    header += struct.pack("<5H6xIIIIIIIII", 62, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, last, 0, last, 0)
    header += struct.pack("<109I", 0, *[free] * 108)

    def entry(name: str, kind: int, child: int, first: int, size: int) -> bytes:
        raw = (name + "\0").encode("utf-16-le")
        links = struct.pack("<HBBIII", len(raw), kind, 1, free, free, child)
        return raw.ljust(64, b"\0") + links + bytes(36) + struct.pack("<IQ", first, size)

    directory = entry("Root Entry", 5, 1, last, 0) + entry("Workbook", 2, free, 2, len(book))
    allocation = struct.pack("<128I", *table, *[free] * (128 - len(table)))
    file.write_bytes(header + allocation + directory.ljust(512, b"\0") + book)
    return file


def write_xlsb(file: Path, rows: Sequence[Sequence[Any]], hidden: Sequence[int]) -> Path:
    """The same in the records of ``.xlsb``."""

    def record(kind: int, *parts: bytes) -> bytes:
        data = b"".join(parts)
        named = [kind] if kind < 128 else [kind & 0x7F | 0x80, kind >> 7]
        return bytes([*named, len(data) & 0x7F | 0x80, len(data) >> 7]) + data

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value)) + value.encode("utf-16-le")

    sheet = record(129) + record(148, struct.pack("<4I", 0, len(rows) - 1, 0, 2))
    sheet += record(60, struct.pack("<4IH", 0, 0, 2000, 0, 1)) + record(145)
    for number, row in enumerate(rows):
        flags = bytes([0, 0x10 * (number + 1 in hidden), 0])
        sheet += record(0, struct.pack("<IIH", number, 0, 300), flags, struct.pack("<I", 0))
        for column, value in enumerate(row):
            place = struct.pack("<II", column, 0)
            told = text(value) if isinstance(value, str) else struct.pack("<d", value)
            sheet += record(6 if isinstance(value, str) else 5, place, told)
    sheet += record(146) + record(176, struct.pack("<4I", 1, 3, 2, 2)) + record(130)
    name = struct.pack("<II", 0, 1) + text("rId7") + text("Données")
    book = record(131) + record(143) + record(156, name) + record(144) + record(157) + record(132)
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId7" Type="{kinds}/worksheet" Target="worksheets/sheet1.bin"/>'
        "</Relationships>"
    )
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.bin", book)
        archive.writestr("xl/_rels/workbook.bin.rels", relations)
        archive.writestr("xl/worksheets/sheet1.bin", sheet)
    return file


@pytest.mark.parametrize("write", [write_xls, write_xlsb])
def test_binary_workbooks_tell_what_is_hidden_too(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    file = write(tmp_path / "a.xls", [HEADER, *BODY], hidden=(3, 4, 9))
    table = table_of(file)
    assert table.columns == tuple(HEADER)
    assert (table.details["hidden_rows"], table.details["hidden_columns"]) == (3, ["no"])
    assert told(table) == ["formats.hidden_rows", "formats.hidden_columns"]
    stars = [row["stars"] for row in rows_of(table) if isinstance(row, dict)]
    assert stars[:4] == [0, 0, 0, 3], "a merged cell holds for its rows"
    assert stars[3:] == [n % 5 for n in range(3, 30)]


def test_where_hidden_rows_cannot_be_seen_it_is_said(tmp_path: Path) -> None:
    """Excel 95 called the stream of its records otherwise."""
    file = write_xls(tmp_path / "a.xls", [HEADER, *BODY], hidden=(3,))
    old, new = (f"{name}\0".encode("utf-16-le").ljust(64, b"\0") for name in ("Workbook", "Book"))
    raw = file.read_bytes()
    file.write_bytes(raw.replace(old + b"\x12", new + b"\x0a"))
    table = table_of(file)
    assert told(table) == ["formats.hidden_unseen"]
    assert len(rows_of(table)) == 30


def test_what_stands_below_the_rows_is_no_example(tmp_path: Path) -> None:
    rows = [HEADER, *BODY, ["Total", None, 60], ["Average", None, 2.0]]
    found = rows_of(table_of(workbook(tmp_path / "a.xlsx", S=rows)))
    assert found == [*VOICES, "formats.totals", "formats.totals"]

    rows = [HEADER, *BODY[:20], HEADER, *BODY[20:]]
    found = rows_of(table_of(workbook(tmp_path / "b.xlsx", S=rows)))
    assert found == [*VOICES[:20], "formats.header_again", *VOICES[20:]]

    other = [[], ["By branch"], ["branch", "title", "label"], ["Bergen", "x", 3], ["Porto", "y", 4]]
    found = rows_of(table_of(workbook(tmp_path / "c.xlsx", S=[HEADER, *BODY, *other])))
    assert found[:30] == VOICES
    assert found[31:] == ["formats.another_table"] * 3

    # Whatever its columns are called: words over numbers, where the first table has words.
    other = [[], ["", "how often", "who"], ["", 3, "Ann"], ["", 4, "Bob"], ["", 4, "Cid"]]
    titled = [[], ["By how often"], *other[1:]]
    found = rows_of(table_of(workbook(tmp_path / "d.xlsx", S=[HEADER, *BODY, *titled])))
    assert found[:30] == VOICES
    assert found[31:] == ["formats.another_table"] * 4
    file = tmp_path / "e.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([HEADER, *BODY, *other])
    found = rows_of(table_of(file))
    assert found[30:] == ["formats.another_table"] * 4


def test_an_error_comes_where_it_stands() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise csv.Error("a quote")

    ahead = Ahead(source())
    assert ahead.peek() == [1]
    assert next(ahead) == 1
    with pytest.raises(csv.Error, match="a quote"):
        next(ahead)
    assert list(ahead) == []


def test_a_blank_row_alone_divides_nothing(tmp_path: Path) -> None:
    rows = [HEADER, *BODY[:9], [], ["", None], *BODY[9:]]
    assert rows_of(table_of(workbook(tmp_path / "a.xlsx", S=rows))) == VOICES


@pytest.mark.parametrize("style", ["sound", "odd"])
def test_a_merged_cell_holds_by_either_reader(tmp_path: Path, style: str) -> None:
    def merge(page: Worksheet) -> None:
        page.merge_cells("B2:B4")
        page.merge_cells("B6:B7")

    rows = [
        [None, "label", "text"],
        *[[None, "x" if n in (0, 4) else None, f"t{n}"] for n in range(6)],
    ]
    file = workbook(tmp_path / "a.xlsx", merge, S=rows)
    if style == "odd":  # which the first reader refuses
        with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as new:
            for name in old.namelist():
                data = old.read(name)
                for end in (b" />", b"/>"):
                    data = data.replace(b'<color theme="1"' + end, b'<color rgb="red" />')
                new.writestr(name, data)
        file = tmp_path / "b.xlsx"
    (table,) = open_tables(Source(file))
    assert [row["label"] for row in rows_of(table)] == ["x", "x", "x", None, "x", "x"]  # type: ignore[index]


def test_what_was_read_is_in_the_report(tmp_path: Path) -> None:
    rows = [["title of it"], ["review", "category"], *[[text, "ab"[n % 2]] for n, text, _ in BODY]]
    file = workbook(tmp_path / "a.xlsx", Notes=[["only this"]], Data=rows)
    _, report = build_version(tmp_path / "out", file)
    codes = [notice.code for notice in report.warnings]
    assert "formats.skipped_lines" in codes
    assert "formats.other_sheets" in codes
    assert report.rows == 30
