"""CSV and TSV: encodings, dialects, headers, and everything that is wrong with real files."""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.data.sources._dialect import has_header, sniff
from feilun.data.sources._text import encoding_of
from feilun.errors import InvalidData
from helpers.builds import rows_of, table_of

CHINESE = "text,label\n质量很好，下次还会再来,好\n物流太慢了，包装也破损,差\n"
ROWS = [
    {"text": "质量很好，下次还会再来", "label": "好"},
    {"text": "物流太慢了，包装也破损", "label": "差"},
]


@pytest.mark.parametrize(
    ("encoding", "bom", "found"),
    [
        ("utf-8", b"", "utf-8"),
        ("utf-8", codecs.BOM_UTF8, "utf-8-sig"),
        ("utf-16-le", codecs.BOM_UTF16_LE, "utf-16"),
        ("utf-16-be", codecs.BOM_UTF16_BE, "utf-16"),
        ("utf-16-le", b"", "utf-16-le"),
        ("utf-16-be", b"", "utf-16-be"),
        ("utf-32-le", codecs.BOM_UTF32_LE, "utf-32"),
        ("gb18030", b"", "gb18030"),
        ("gbk", b"", "gb18030"),
    ],
)
def test_encodings(tmp_path: Path, encoding: str, bom: bytes, found: str) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(bom + CHINESE.encode(encoding))
    table = table_of(file)
    assert table.details["encoding"] == found
    assert table.columns == ("text", "label")
    assert rows_of(table) == ROWS


@pytest.mark.parametrize("mark", [",", ";"])
@pytest.mark.parametrize("names", [("text", "label"), ("Meinung", "Urteil")])
def test_rows_that_were_saved_as_one_column(
    tmp_path: Path, mark: str, names: tuple[str, str]
) -> None:
    """A file opened as a single column and saved again, of which each line is one quoted cell."""
    rows = [names, *((f'the "{n}th" one{mark} late', "ab"[n % 2]) for n in range(30))]
    inner, outer = io.StringIO(), io.StringIO()
    csv.writer(inner, delimiter=mark).writerows(rows)
    csv.writer(outer, delimiter=mark).writerows([line] for line in inner.getvalue().splitlines())
    file = tmp_path / "a.csv"
    file.write_text(outer.getvalue(), "utf-8", newline="")
    assert rows_of(table_of(file)) == [dict(zip(names, row, strict=True)) for row in rows[1:]]
    # A row that breaks its quotes is one bad row, and those behind it come.
    with file.open("a", encoding="utf-8", newline="") as stream:
        stream.write(f'"""open"" x{mark}a"\r\n"last{mark}b"\r\n')
    *_, bad, last = rows_of(table_of(file))
    assert (bad, list(last.values())) == ("data.bad_quoting", ["last", "b"])


def test_western_text_is_not_taken_for_chinese(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    text = "text,label\nLe café était très agréable à Noël,bon\nPas terrible du tout,mauvais\n"
    file.write_bytes(text.encode("cp1252") * 5)
    assert rows_of(table_of(file))[0] == {
        "text": "Le café était très agréable à Noël",
        "label": "bon",
    }


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_what_comes_after_a_megabyte_of_ascii_counts(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "a.csv"
    ascii_rows = "plain words,good\n" * 80_000
    file.write_bytes(
        b"text,label\n" + ascii_rows.encode() + "物流太慢了，很差,bad\n".encode(encoding)
    )
    assert encoding_of(file) == encoding
    assert rows_of(table_of(file))[-1] == {"text": "物流太慢了，很差", "label": "bad"}


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_failing_byte_later_is_a_bad_row_with_its_number(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "a.csv"
    good = "质量很好,好\n".encode(encoding)
    file.write_bytes(b"text,label\n" + good * 300_000 + b"\xff\xff broken,bad\n" + good)
    bad = [row for row in table_of(file).rows() if hasattr(row, "code")]
    assert [(row.number, row.code) for row in bad] == [(300_001, "data.bad_bytes")]
    assert encoding in bad[0].reason()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_delimiters_and_line_ends(tmp_path: Path, delimiter: str, end: str) -> None:
    lines = ["review;score".replace(";", delimiter)]
    lines += [f'"one{delimiter} two{end}three ""{i}"""{delimiter}good' for i in range(9)]
    file = tmp_path / "a.txt"
    file.write_text(end.join(lines), "utf-8", newline="")
    table = table_of(file)
    assert table.details["delimiter"] == delimiter
    assert table.details["header"]
    found = rows_of(table)
    assert len(found) == 9
    assert found[3] == {"review": f'one{delimiter} two{end}three "3"', "score": "good"}


def test_separators_of_unicode_end_no_line(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\none\u2028two\x0bthree\x0c\x1cfour\x85,a\n", "utf-8")
    assert rows_of(table_of(file)) == [
        {"text": "one\u2028two\x0bthree\x0c\x1cfour\x85", "label": "a"}
    ]


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("text,label\n'a, b',x\n'c',y\n", {"text": "a, b", "label": "x"}),
        ('text,label\n"a \\"b\\", c",x\n"d",y\n', {"text": 'a "b", c', "label": "x"}),
        ('text\tlabel\n"a" b\tx\nc "\ty\n', {"text": '"a" b', "label": "x"}),
        ("text,label\nit's 5\" long,x\nb,y\n", {"text": "it's 5\" long", "label": "x"}),
    ],
)
def test_quoting(tmp_path: Path, text: str, row: dict[str, str]) -> None:
    file = tmp_path / "a.csv"
    file.write_text(text)
    assert rows_of(table_of(file))[0] == row


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ([["text", "label"], ["I like it", "good"]], True),
        ([["评论", "标签"], ["很好", "好"]], True),
        ([["satz", "stimmung"], ["Das ist gut und schön", "1"], ["Das ist schlecht", "0"]], True),
        ([["I like it", "good"], ["I hate it", "bad"], ["so so", "good"]], False),
        ([["3", "good"], ["4", "bad"]], False),
        ([["a", "a"], ["b", "c"]], False),
        ([["q", "z"], *([[f"a long text {i}", "xy"[i % 2]] for i in range(10)])], True),
        ([], False),
    ],
)
def test_headers(rows: list[list[str]], header: bool) -> None:
    assert has_header(rows, {"text", "label", "评论", "标签"}) is header


def test_without_a_header_columns_have_numbers(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("I like it,good\nI hate it,bad\nso so,good\nnot bad,good\n")
    table = table_of(file)
    assert table.columns == ("column1", "column2")
    assert len(rows_of(table)) == 4
    assert len(rows_of(table_of(file, header=True))) == 3


def test_an_index_column_without_a_name(tmp_path: Path) -> None:
    pandas_style, r_style = tmp_path / "a.csv", tmp_path / "b.csv"
    pandas_style.write_text(",text,label\n0,a,x\n1,b,y\n")
    r_style.write_text('"text","label"\n"1","a","x"\n"2","b","y"\n')
    table = table_of(pandas_style)
    assert table.columns == ("column1", "text", "label")
    table.close()
    table = table_of(r_style)
    assert table.columns == ("row_name", "text", "label")
    assert rows_of(table)[0] == {"row_name": "1", "text": "a", "label": "x"}


def test_columns_of_one_name_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label,text\na,x,b\n")
    table = table_of(file)
    assert table.columns == ("text", "label", "text_2")
    table.close()


def test_ragged_rows_are_bad_rows(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\na,x\nb\nc,y,z\n\nd,y,\n,\n")
    found = rows_of(table_of(file))
    assert found == [
        {"text": "a", "label": "x"},
        "data.ragged",
        "data.ragged",
        {"text": "d", "label": "y"},
        {"text": "", "label": ""},
    ]


def test_broken_quotes_are_bad_rows(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    good = '"fine, really",x\n' * 20
    file.write_text(
        "text,label\n" + good + '"he said "hi" there, ok",x\n' + good + '"never closed,x\n'
    )
    found = rows_of(table_of(file))
    assert [row for row in found if isinstance(row, str)] == ["data.bad_quoting"] * 2
    assert len(found) == 42


def test_ten_megabytes_in_one_cell(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    long = "word " * 2_000_000
    file.write_text(f"text,label\nshort,x\n{long},y\n")
    found = rows_of(table_of(file))
    assert found[1] == {"text": long, "label": "y"}


def test_a_line_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feilun.data.sources._text.MAX_CELL", 10_000)
    file = tmp_path / "a.csv"
    file.write_text("text,label\na,x\n" + "b" * 20_000)
    with pytest.raises(InvalidData) as caught:
        rows_of(table_of(file))
    assert caught.value.code == "data.line_too_long"


@pytest.mark.parametrize("content", [b"", b"\n\n  \n", codecs.BOM_UTF8])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    with pytest.raises(InvalidData) as caught:
        table_of(file)
    assert caught.value.code == "data.empty_file"


def test_options_go_before_what_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes("a;b;c\n".encode("cp1252") * 3)
    table = table_of(file, delimiter=";", encoding="cp1252", header=False, quote="")
    assert table.columns == ("column1", "column2", "column3")
    assert table.details["quote"] == ""
    table.close()
    for option, code in (
        ({"encoding": "klingon"}, "data.no_such_encoding"),
        ({"delimiter": "::"}, "data.bad_delimiter"),
    ):
        with pytest.raises(InvalidData) as caught:
            table_of(file, **option)
        assert caught.value.code == code


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


@given(
    st.lists(st.tuples(CELLS, st.sampled_from(["good", "bad"])), min_size=3, max_size=12),
    st.sampled_from([",", "\t", ";", "|"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_csv_writes_is_read(rows: list[tuple[str, str]], delimiter: str, end: str) -> None:
    import csv
    import io

    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["text", "label"])
    writer.writerows(rows)
    dialect, found = sniff(text.getvalue(), whole=True, known={"text", "label"})
    assert dialect.delimiter == delimiter
    assert found == [["text", "label"], *map(list, rows)]
