"""JSON as pandas and others lay tables out: by column, by index, split, arrays of cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feilun.errors import InvalidData
from feilun.types import Row
from helpers.builds import build_version, rows_of, table_of

ROWS = [
    {"review": f'方便 {number} \\ "so" \'', "label": ("good", "bad")[number % 2], "n": number / 2}
    for number in range(30)
]
FRAME = pd.DataFrame(ROWS)
ORIENTS = ["records", "columns", "index", "split", "table", "values"]


def seen(file: Path) -> list[Any]:
    return [
        {k: v for k, v in row.items() if k != "index"} if isinstance(row, dict) else row
        for row in rows_of(table_of(file))
    ]


@pytest.mark.parametrize("indent", [0, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("orient", ORIENTS)
def test_every_orient_of_pandas(tmp_path: Path, orient: Any, encoding: str, indent: int) -> None:
    file = tmp_path / "a.json"
    file.write_text(FRAME.to_json(orient=orient, force_ascii=False, indent=indent), encoding)
    expected = ROWS
    if orient == "values":
        expected = [
            dict(zip(("column1", "column2", "column3"), r.values(), strict=True)) for r in ROWS
        ]
    assert seen(file) == expected


@pytest.mark.parametrize("orient", ORIENTS[:-1])
def test_rows_that_are_named(tmp_path: Path, orient: Any) -> None:
    file = tmp_path / "a.json"
    named = FRAME.set_axis([f"order {number}" for number in range(30)])
    file.write_text(named.to_json(orient=orient), "utf-8")
    assert seen(file) == ROWS


def test_fewer_rows_than_columns(tmp_path: Path) -> None:
    for orient in ("columns", "index", "split"):
        file = tmp_path / f"{orient}.json"
        file.write_text(FRAME[:2].to_json(orient=orient), "utf-8")  # type: ignore[call-overload]
        assert seen(file) == ROWS[:2]


def test_a_version_of_a_frame(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    FRAME.to_json(file)
    data, report = build_version(tmp_path / "v1", file)
    assert {example.item: example.label for example in data.examples()} == {
        row["review"]: row["label"] for row in ROWS
    }
    assert report.bad == 0


def test_lists(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({name: [r[name] for r in ROWS] for name in ROWS[0]}), "utf-8")
    assert seen(file) == ROWS
    file.write_text(json.dumps({"review": ["a", "b"], "label": ["x"]}), "utf-8")
    with pytest.raises(InvalidData) as caught:
        table_of(file)
    assert caught.value.code == "formats.uneven_columns"
    assert "2" in caught.value.message()


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_header_in_the_first_array(tmp_path: Path, wrapped: bool) -> None:
    cells: list[Any] = [list(ROWS[0]), *(list(row.values()) for row in ROWS), ["short"], 5]
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"range": "A1", "values": cells} if wrapped else cells), "utf-8")
    assert seen(file) == [*ROWS, "data.ragged", "formats.not_a_list"]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    for orient in ("columns", "split", "records"):
        file = tmp_path / f"{orient}.json"
        content = FRAME.to_json(orient=orient, force_ascii=False).encode()  # type: ignore[call-overload]
        place = content.index("方便 7".encode())
        file.write_bytes(content[:place] + b"\xff" + content[place + 3 :])
        found = seen(file)
        assert found[7] == "data.bad_bytes"
        assert found[:7] + found[8:] == ROWS[:7] + ROWS[8:]


def test_one_object_a_line_is_still_one_row(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"text": ["a"], "label": ["b"]}\n{"text": ["c"], "label": ["d"]}\n', "utf-8")
    assert [row.values for row in table_of(file).rows() if isinstance(row, Row)] == [
        {"text": ["a"], "label": ["b"]},
        {"text": ["c"], "label": ["d"]},
    ]


def test_a_table_too_large_to_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feilun.data.sources.json_array._MAX_WHOLE", 1 << 10)
    file = tmp_path / "a.json"
    FRAME.to_json(file)
    with pytest.raises(InvalidData) as caught:
        table_of(file)
    assert caught.value.code == "formats.json_too_large"
    FRAME.to_json(file, orient="split", force_ascii=False)
    assert seen(file) == ROWS, "what streams has no limit"


@pytest.mark.parametrize("indent", [None, 1])
def test_parts_in_one_file(tmp_path: Path, indent: int | None) -> None:
    file = tmp_path / "a.json"
    parts = {"Train": ROWS[:20], "dev": ROWS[20:24], "test": ROWS[24:]}
    file.write_text(json.dumps({"about": [1], **parts, "n": 3}, indent=indent), "utf-8")
    data, report = build_version(tmp_path / "v1", file)
    assert {name: data.size(name) for name in ("train", "validation", "test")} == {
        "train": 20, "validation": 4, "test": 6,
    }  # fmt: skip
    assert report.bad == 0
    assert [source.name for source in report.sources] == [f"a.json:{part}" for part in parts]


def test_other_arrays_are_told(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for first in ("rows", "train"):
        content = {first: ROWS, "tags": ["x"], "cells": [[1]], "more": ROWS[:7], "none": []}
        file.write_text(json.dumps(content), "utf-8")
        data, report = build_version(tmp_path / first, file)
        assert len(data) == len(ROWS)
        (said,) = [notice for notice in report.warnings if notice.code == "formats.other_arrays"]
        assert said.params == {"file": "a.json", "names": ["more (7)"]}


@pytest.mark.parametrize("indent", [None, 2])
def test_what_follows_the_end_is_not_lost(tmp_path: Path, indent: int | None) -> None:
    text = json.dumps(ROWS, indent=indent)
    file = tmp_path / "a.json"
    for after in ("\n\n", " " * 70_000):
        file.write_text(text + after, "utf-8")
        assert seen(file) == ROWS
    for broken in (text + text, text + " " * 70_000 + "]", f'{{"a": {text}}} {{}}'):
        file.write_text(broken, "utf-8")
        with pytest.raises(InvalidData) as caught:
            seen(file)
        assert caught.value.code == "data.json_broken"
