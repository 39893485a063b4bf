"""Every other format a table comes in; what is damaged or none of them is told clearly."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feilun.data.sources import Source, format_of, formats, hold_out, open_tables
from feilun.errors import FeilunError, InvalidData, UsageError
from helpers.builds import rows_of, table_of

ROWS = [{"text": "质量很好", "label": "好"}, {"text": 'say "hi"\n', "label": "差"}]


def code_of(file: Path | str, **options: Any) -> str:
    with pytest.raises(FeilunError) as caught:
        rows_of(table_of(file, **options))
    assert str(caught.value)
    return caught.value.code


# JSON


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_json(tmp_path: Path, indent: int | None, encoding: str, wrapped: bool) -> None:
    file = tmp_path / "a.json"
    content = {"n": 12, "meta": {"data": 1}, "data": ROWS, "end": []} if wrapped else ROWS
    file.write_text(json.dumps(content, ensure_ascii=False, indent=indent), encoding)
    table = table_of(file)
    assert table.columns == ("text", "label")
    assert rows_of(table) == ROWS


def test_json_streams_over_any_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": "é\\u00e9\\" * i, "n": 1234567 * i, "x": [True, None]} for i in range(60)]
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"a": 123, "rows": rows}), "utf-8")
    for chunk in (1, 2, 3, 7, 64, 1000):
        monkeypatch.setattr("feilun.data.sources.json_array._CHUNK", chunk)
        assert rows_of(table_of(file)) == rows


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('[{"text": "a"}, {"text": "b"', "data.json_broken"),
        ('[{"text": "a"} {"text": "b"}]', "data.json_broken"),
        ('[{"text": "a"}, {text: 1}]', "data.json_broken"),
        ('{"text": {"a": 1}, "label": 5}', "data.json_shape"),
        ("[", "data.json_broken"),
        ('{"a": 1,', "data.json_broken"),
    ],
)
def test_broken_json(tmp_path: Path, text: str, code: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    assert code_of(file, format="json_array") == code


def test_json_says_at_which_row_it_breaks(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('[{"a": 1}, {"a": 2}, {"a": 1, 2}]')
    with pytest.raises(InvalidData) as caught:
        table_of(file)
    assert caught.value.params["row"] == 3


def test_elements_that_are_no_objects(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(
        '[{"text": "a"}, 5, "b", [1], {"text": {"$base64": "YWI="}}, {"x": {"$base64": "!"}}]'
    )
    bad = "data.not_an_object"
    assert rows_of(table_of(file)) == [
        {"text": "a"}, bad, bad, bad, {"text": b"ab"}, "data.bad_base64",
    ]  # fmt: skip


def test_jsonl(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    lines = [json.dumps(row) for row in ROWS]
    file.write_text("\n".join([*lines, "", '{"text": NaN, "more": 1}', "{broken", "5"]), "utf-8")
    table = table_of(file)
    assert table.columns == ("text", "label", "more", "")
    found = rows_of(table)
    assert found[:2] == ROWS
    assert found[2]["text"] != found[2]["text"]  # type: ignore[index]  # NaN
    assert found[3:] == ["data.bad_json", "data.not_an_object"]


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a.csv"])
def test_jsonl_under_other_names(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text('{"text": "a, b", "label": "x"}\n{"text": "c", "label": "y"}\n')
    assert format_of(file) == "jsonl"


def test_brackets_do_not_make_json(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("[tag] text,label\n[a] b,x\n{c} d,y\n")
    assert format_of(file) == "delimited"


# Parquet


def test_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["a", None, "c"]).dictionary_encode(),
            "when": pa.array([dt.datetime(2024, 5, 1, tzinfo=dt.UTC)] * 3, pa.timestamp("us")),
            "price": pa.array([decimal.Decimal("1.50")] * 3),
            "photo": [{"bytes": b"x", "path": "a"}, {"bytes": None, "path": "b.png"}, None],
            "tags": pa.array([["u"], [], None]),
            "n": pa.array([1, 2, 3]),
        }
    )  # fmt: skip
    file = tmp_path / "a.bin"
    pq.write_table(table, file, row_group_size=2)
    opened = table_of(file)
    assert opened.total == 3
    first, second, third = rows_of(opened)
    assert first == {
        "text": "a", "when": "2024-05-01 00:00:00.000000", "price": 1.5, "photo": b"x",
        "tags": ["u"], "n": 1,
    }  # fmt: skip
    assert (second["photo"], third["photo"], second["text"]) == ("b.png", None, None)  # type: ignore[index]


def test_class_names_in_parquet(tmp_path: Path) -> None:
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1]}).replace_schema_metadata(
        metadata
    )
    pq.write_table(table, tmp_path / "a.parquet")
    found = rows_of(table_of(tmp_path / "a.parquet"))
    assert [row["label"] for row in found] == ["pos", "neg", None]  # type: ignore[index]


@pytest.mark.parametrize("keep", [4, 20, 0.5, -1])
def test_truncated_parquet(tmp_path: Path, keep: float) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a" * 1000] * 500, "label": ["x"] * 500}), file)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    assert code_of(file) == "data.damaged"


def test_parquet_damaged_inside(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"row {i}" for i in range(5000)]}), file)
    data = bytearray(file.read_bytes())
    data[10:2000] = b"\x07" * 1990
    file.write_bytes(bytes(data))
    assert code_of(file) == "data.damaged"


# Excel


def workbook(file: Path, *rows: list[Any], sheet: str = "Reviews") -> Path:
    book = openpyxl.Workbook()
    book.active.title = "Notes" if sheet != "Notes" else "Other"
    book.active.append(["nothing to see"])
    page = book.create_sheet(sheet, 0)
    for row in rows:
        page.append(row)
    book.save(file)
    return file


def test_excel(tmp_path: Path) -> None:
    file = workbook(
        tmp_path / "a.csv",  # the content says what it is
        [None, None],
        ["text", "label", "when", None],
        ["很好", 1, dt.date(2024, 5, 1), None],
        [None, None, None, None],
        ["差", 2.0, None, None],
        ["x", True, None, "too much"],
    )
    table = table_of(file)
    assert table.columns == ("text", "label", "when")
    assert table.details["sheets"] == ["Reviews", "Notes"]
    assert rows_of(table) == [
        {"text": "很好", "label": 1, "when": "2024-05-01T00:00:00"},
        {"text": "差", "label": 2, "when": None},
        "data.ragged",
    ]
    assert rows_of(table_of(file, sheet="Notes", header=False)) == [{"column1": "nothing to see"}]
    assert code_of(file, sheet="Nope") == "data.no_sheet"


def test_an_empty_sheet(tmp_path: Path) -> None:
    assert code_of(workbook(tmp_path / "a.xlsx")) == "data.empty_file"


def test_a_truncated_workbook(tmp_path: Path) -> None:
    file = workbook(tmp_path / "a.xlsx", ["text", "label"], ["a", "b"])
    file.write_bytes(file.read_bytes()[:-200])
    assert code_of(file) == "data.damaged"


def test_a_damaged_sheet(tmp_path: Path) -> None:
    whole = workbook(tmp_path / "a.xlsx", ["text", "label"], *(["a", "b"] for _ in range(500)))
    file = tmp_path / "b.xlsx"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[: len(data) // 2] if "sheet" in name else data)
    assert code_of(file) == "data.damaged"


def rewritten(source: Path, file: Path, **changes: str) -> Path:
    """The workbook with ``{old: new}`` in all its parts."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            text = old.read(name).decode()
            for before, after in changes.items():
                text = text.replace(before, after)
            new.writestr(name, text)
    return file


@pytest.mark.parametrize(
    "changes",
    [
        {'<patternFill patternType="gray125" />': "", '<patternFill patternType="gray125"/>': ""},
        {'<color theme="1" />': '<color rgb="red" />', '<color theme="1"/>': '<color rgb="red"/>'},
        {
            "http://schemas.openxmlformats.org/spreadsheetml/2006/main": (
                "http://purl.oclc.org/ooxml/spreadsheetml/main"
            ),
            "http://schemas.openxmlformats.org/officeDocument/2006/relationships": (
                "http://purl.oclc.org/ooxml/officeDocument/relationships"
            ),
        },
    ],
    ids=["empty fill", "bad colour", "strict"],
)
def test_workbooks_that_only_excel_opens(tmp_path: Path, changes: dict[str, str]) -> None:
    rows = [["text", "label"], ["a", "x"], ["b", "y"]]
    file = rewritten(workbook(tmp_path / "a.xlsx", *rows), tmp_path / "b.xlsx", **changes)
    assert file.read_bytes() != (tmp_path / "a.xlsx").read_bytes()
    assert rows_of(table_of(file)) == [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]


def test_a_merged_cell_holds_for_its_rows(tmp_path: Path) -> None:
    rows = [["label", "text"], ["x", "a"], [None, "b"], [None, None], [None, "c"], [None, "d"]]
    file = workbook(tmp_path / "a.xlsx", *rows)
    book = openpyxl.load_workbook(file)
    book["Reviews"].merge_cells("A2:A5")
    book.save(file)
    assert [row["label"] for row in rows_of(table_of(file))] == ["x", "x", "x", None]


def test_a_cell_merged_over_columns_is_not_repeated(tmp_path: Path) -> None:
    file = workbook(tmp_path / "a.xlsx", ["text", "label"], ["a", "x"], ["b", None], ["c", "y"])
    book = openpyxl.load_workbook(file)
    book["Reviews"].merge_cells("A3:B3")
    book.save(file)
    assert [row["label"] for row in rows_of(table_of(file))] == ["x", None, "y"]


def test_errors_and_escapes_in_cells(tmp_path: Path) -> None:
    file = workbook(
        tmp_path / "a.xlsx",
        ["the_x0020_text", "label"],
        ["one_x000D_\ntwo", "x"],
        ["_x005F_x000D_ and _xyz_", "#REF!"],
        ["#N/A", "y"],
        ["_xD83D__xDE00_ _xD83D_", "z"],
    )
    assert rows_of(table_of(file)) == [
        {"the text": "one\r\ntwo", "label": "x"},
        {"the text": "_x000D_ and _xyz_", "label": None},
        {"the text": None, "label": "y"},
        {"the text": "\U0001f600 \ufffd", "label": "z"},
    ]


def test_open_document(tmp_path: Path) -> None:
    rows = "".join(
        "<table:table-row>"
        + "".join(
            '<table:table-cell office:value-type="string">'
            f"<text:p>{cell}</text:p></table:table-cell>"
            for cell in row
        )
        + "</table:table-row>"
        for row in (["text", "label"], ["很好", "x"], ["差", "y"])
    )
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text")
    )
    content = (
        f'<?xml version="1.0"?><office:document-content {spaces}><office:body><office:spreadsheet>'
        f'<table:table table:name="S">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    file = tmp_path / "a.ods"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", content)
        archive.writestr(
            "META-INF/manifest.xml",
            '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        )
    assert rows_of(table_of(file))[0] == {"text": "很好", "label": "x"}


# Databases


def test_sql(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE reviews (review TEXT, score INTEGER, photo BLOB)")
    database.executemany(
        "INSERT INTO reviews VALUES (?, ?, ?)", [("a", 1, b"x"), ("b", None, None)]
    )
    database.commit()
    database.close()
    table = table_of(f"sqlite:///{file}", query="SELECT * FROM reviews")
    assert table.name == "sqlite:shop.db"
    assert rows_of(table) == [
        {"review": "a", "score": 1, "photo": b"x"},
        {"review": "b", "score": None, "photo": None},
    ]
    assert code_of(f"sqlite:///{file}") == "data.no_query"
    assert code_of(file) == "data.sqlite_file"


def test_no_password_is_kept() -> None:
    from feilun.data.sources.sql import shown

    assert (
        shown("postgresql+psycopg://me:secret@host:5432/shop?x=1") == "postgresql://host:5432/shop"
    )
    assert "secret" not in shown("mysql://a:sec/ret@h/d")


# Hugging Face


def saved(folder: Path, rows: dict[str, list[Any]], features: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    table = pa.table(rows)
    file = str(folder / "data-00000-of-00001.arrow")
    with pa.OSFile(file, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    files = [{"filename": "data-00000-of-00001.arrow"}]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, "_split": "train"}))


FEATURES = {
    "text": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
}


def test_a_saved_dataset(tmp_path: Path) -> None:
    saved(tmp_path / "d", {"text": ["a", "b"], "label": [1, 0]}, FEATURES)
    table = table_of(tmp_path / "d")
    assert table.split is None
    assert rows_of(table) == [{"text": "a", "label": "pos"}, {"text": "b", "label": "neg"}]


def test_a_saved_dictionary_keeps_its_division(tmp_path: Path) -> None:
    for part in ("train", "test", "extra"):
        saved(tmp_path / "d" / part, {"text": [part], "label": [1]}, FEATURES)
    (tmp_path / "d" / "dataset_dict.json").write_text('{"splits": ["train", "test", "extra"]}')
    tables = open_tables(Source(tmp_path / "d"))
    assert [(t.name, t.split) for t in tables] == [
        ("d/train", "train"), ("d/test", "test"), ("d/extra", None),
    ]  # fmt: skip
    assert [rows_of(t)[0]["text"] for t in tables] == ["train", "test", "extra"]  # type: ignore[index]


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    rows = {"text": [f"row {i}" for i in range(30)], "label": [i % 2 for i in range(30)]}
    whole = datasets.Dataset.from_dict(rows, features=features).shuffle(seed=1)
    datasets.DatasetDict({"train": whole, "validation": whole}).save_to_disk(tmp_path / "d")
    tables = open_tables(Source(tmp_path / "d"))
    assert [t.split for t in tables] == ["train", "validation"]
    found, _ = map(rows_of, tables)
    assert sorted(int(r["text"].split()[1]) % 2 for r in found) == [0] * 15 + [1] * 15  # type: ignore[index]
    assert all((r["label"] == "pos") == int(r["text"].split()[1]) % 2 for r in found)  # type: ignore[index]


def test_damaged_saved_datasets(tmp_path: Path) -> None:
    saved(tmp_path / "d", {"text": ["a"], "label": [1]}, FEATURES)
    arrow = tmp_path / "d" / "data-00000-of-00001.arrow"
    arrow.write_bytes(arrow.read_bytes()[:100])
    assert code_of(tmp_path / "d") == "data.damaged"
    arrow.unlink()
    assert code_of(tmp_path / "d") == "data.damaged"
    (tmp_path / "d" / "state.json").write_text("{")
    assert code_of(tmp_path / "d") == "data.damaged"


# What is none of them


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (bytes(range(256)) * 40, "data.binary"),
        (b"text,label\n" + bytes(range(1, 9)) * 400, "data.binary"),
        (b"\x7fELF\x02\x01\x01" + b"\0" * 500, "data.binary"),
        (gzip.compress(b"text,label\na,b\n", mtime=0), "data.packed"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "data.lone_image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "data.lone_image"),
        (b"", "data.empty_file"),
        (b"PAR1", "data.damaged"),
        (b"PK\x03\x04 no archive", "data.damaged"),
    ],
)
def test_a_binary_named_csv(tmp_path: Path, content: bytes, code: str) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    assert code_of(file) == code


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", "text,label\n")
    assert code_of(file) == "data.packed"


def test_a_missing_file_and_an_empty_folder(tmp_path: Path) -> None:
    assert code_of(tmp_path / "nope.csv") == "data.no_file"
    assert code_of(tmp_path) == "data.unknown_folder"


def test_formats_are_the_files_of_the_package(tmp_path: Path) -> None:
    assert formats() == [
        "conll", "cvat", "delimited", "documents", "excel", "hive", "html", "huggingface",
        "images", "json_array", "jsonl", "label_studio", "mediawiki", "parquet", "plain", "po",
        "sql", "texts", "tmx",
    ]  # fmt: skip
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError) as caught:
        open_tables(Source(tmp_path / "a.csv", table_options(format="xml")))
    assert caught.value.code == "data.unknown_format"


def table_options(**options: Any) -> Any:
    from feilun.data.sources import Options

    return Options(**options)


# Tomorrow's traffic


def test_the_last_rows_are_held_out(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\n" + "".join(f"t{i},x\n" for i in range(10)))
    today, tomorrow = hold_out(Source(file), 3)
    texts = [
        [row["text"] for row in rows_of(table)]  # type: ignore[index]
        for source in (today, tomorrow)
        for table in open_tables(source, ("text",))
    ]
    assert texts == [[f"t{i}" for i in range(7)], ["t7", "t8", "t9"]]


def test_samples_come_again_and_a_table_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\n" + "".join(f"t{i},x\n" for i in range(1500)))
    table = table_of(file)
    assert [len(sample.values) for sample in table.samples()] == [1000, 1000]
    assert len(rows_of(table)) == 1500
    assert table.position() == 0
    with pytest.raises(RuntimeError, match="read already"):
        rows_of(table)
