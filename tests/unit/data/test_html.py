"""Pages and other texts that programs export under the name of a workbook."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun.data.sources import format_of
from feilun.errors import InvalidData, UsageError
from helpers.builds import rows_of, table_of

ROWS = [{"review": f"kettle {n} & “lid” naïve", "category": "ab"[n % 2]} for n in range(20)]


def html(rows: list[dict[str, str]] = ROWS, head: str = "") -> str:
    body = "".join(
        f"<tr>\n <td>{row['review'].replace('&', '&amp;')}</td><td>{row['category']}</td></tr>\n"
        for row in rows
    )
    return (
        f"<html><head>{head}<style>td {{x: 1}}</style></head>\n<body><table border=1>"
        f"<tr><th>review</th><th>category</th></tr>{body}</table></body></html>"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_page_called_xls(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "export.xls"
    file.write_text(html(), encoding)
    assert format_of(file) == "html"
    assert rows_of(table_of(file)) == ROWS


def test_a_page_says_its_encoding(tmp_path: Path) -> None:
    rows = [{"review": f"{n} ужасно", "category": "б"} for n in range(3)]
    head = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">'
    file = tmp_path / "a.xls"
    file.write_bytes(html(rows, head).encode("cp1251"))
    table = table_of(file)
    assert table.details["encoding"] == "windows-1251"
    assert rows_of(table) == rows


def test_what_html_leaves_open(tmp_path: Path) -> None:
    file = tmp_path / "a.xls"
    file.write_text(
        "<TABLE><TR><TH>review<TH>category<TR><TD>one<br>two &lt;b&gt;<TD>x"
        "<TR><TD> a \n  b&nbsp;c <TD>y<TR><TD><p>p</p><p>q</p><TD>z"
    )
    assert rows_of(table_of(file)) == [
        {"review": "one\ntwo <b>", "category": "x"},
        {"review": "a b c", "category": "y"},
        {"review": "p\nq", "category": "z"},
    ]


def test_cells_over_several_rows_hold_for_each(tmp_path: Path) -> None:
    file = tmp_path / "a.xls"
    file.write_text(
        "<table><tr><td colspan=2>Voices<tr><th>category<th>review"
        "<tr><td rowspan=2>x<td>a<tr><td>b<tr><td>y<td rowspan='2'>c<tr><td>z</table>"
    )
    table = table_of(file)
    assert table.details["skipped"] == ["Voices"]
    assert [tuple(row.values()) for row in rows_of(table)] == [  # type: ignore[union-attr]
        ("x", "a"), ("x", "b"), ("y", "c"), ("z", "c"),
    ]  # fmt: skip


def test_the_largest_of_several_tables(tmp_path: Path) -> None:
    file = tmp_path / "a.xls"
    menu = "<table><tr><td>text<td>label<tr><td>home<td>y</table>"
    file.write_text(f"<div>{menu}<p>x</p>{html()}</div>", "utf-8")
    table = table_of(file)
    assert table.details["other_sheets"] == ["1"]
    assert rows_of(table) == ROWS
    assert rows_of(table_of(file, sheet="1")) == [{"text": "home", "label": "y"}]
    with pytest.raises(UsageError):
        table_of(file, sheet="3")


def test_the_xml_of_excel_2003(tmp_path: Path) -> None:
    cell = '<Cell{}><Data ss:Type="String">{}</Data></Cell>'
    rows = ["<Row>" + cell.format("", "review") + cell.format("", "category") + "</Row>"]
    rows += ['<Row ss:Index="3">' + cell.format("", "a &lt; b") + cell.format("", "x") + "</Row>"]
    rows += ["<Row>" + cell.format(' ss:Index="2"', "y") + "</Row><Row/>"]
    file = tmp_path / "a.xls"
    file.write_text(
        '<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n'
        '<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"'
        ' xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">'
        f'<Worksheet ss:Name="May"><Table>{"".join(rows)}</Table></Worksheet></Workbook>'
    )
    assert rows_of(table_of(file)) == [
        {"review": "a < b", "category": "x"},
        {"review": None, "category": "y"},
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
def test_tab_text_called_xls(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "a.xls"
    file.write_text("review\tcategory\na, b\tx\nc\ty\n", encoding)
    assert rows_of(table_of(file))[0] == {"review": "a, b", "category": "x"}


def test_a_page_without_a_table(tmp_path: Path) -> None:
    file = tmp_path / "a.xls"
    file.write_text("<!DOCTYPE html><html><body>Please sign in</body></html>")
    with pytest.raises(InvalidData) as caught:
        table_of(file)
    assert caught.value.code == "formats.no_html_table"


def test_tags_in_a_csv_are_text(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("<b>text</b>,label\n<table>,x\nb,y\n")
    assert format_of(file) == "delimited"
