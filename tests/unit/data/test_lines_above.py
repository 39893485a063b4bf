"""Lines above the header of delimited files, and what a user says of how they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun.data._warnings import label_warnings, source_warnings
from feilun.data.outcome import SourceReport
from feilun.errors import InvalidData
from helpers.builds import rows_of, table_of

BODY = "".join(f"{n};kettle {n} was neat and cheerful;{n % 5}\n" for n in range(30))
TABLE = "no;review;stars\n" + BODY


@pytest.mark.parametrize(
    ("above", "told"),
    [
        ("", []),
        ("sep=;\n", []),
        ("\ufeffsep=;\r\n", []),
        ("Voices of October\n", ["Voices of October"]),
        ("Voices of October;;\n\n", ["Voices of October;;"]),
        ("# from the shop; 2026\n# two\n", ["# from the shop; 2026", "# two"]),
        ("sep=;\nVoices\n", ["Voices"]),
    ],
)
def test_lines_above_are_skipped_and_told(tmp_path: Path, above: str, told: list[str]) -> None:
    file = tmp_path / "a.csv"
    file.write_text(above + TABLE, encoding="utf-8", newline="")
    table = table_of(file)
    assert table.columns == ("no", "review", "stars")
    assert table.details.get("skipped", []) == told
    rows = rows_of(table)
    assert len(rows) == 30
    assert rows[0] == {"no": "0", "review": "kettle 0 was neat and cheerful", "stars": "0"}
    notices = source_warnings([SourceReport("a.csv", 30, 0, None, table.details)])
    assert [notice.code for notice in notices] == ["formats.skipped_lines"] * bool(told)


def test_sep_names_the_delimiter(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("sep=^\ntext^label\none, two^good\nthree; four^bad\n")
    assert rows_of(table_of(file))[1] == {"text": "three; four", "label": "bad"}


def test_a_header_row_that_is_given(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("What do you think?;Overall\nreview;category\nfine;praise\nbad;complaint\n")
    table = table_of(file, header_row=2)
    assert table.columns == ("review", "category")
    assert len(rows_of(table)) == 2
    with pytest.raises(InvalidData) as caught:
        table_of(file, header_row=9)
    assert caught.value.code == "formats.no_header_row"


def test_rows_of_one_column_and_texts_without_a_header_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("only a text\n" + "fine,1\nbad,2\n" * 10)
    table = table_of(file, header=False)
    assert "skipped" not in table.details
    assert len(list(table.rows())) == 21


def test_a_label_that_looks_like_a_heading_is_warned_of() -> None:
    codes = [n.code for n in label_warnings({"praise": 40, "complaint": 40, "category": 1}, 81)]
    assert "formats.label_is_heading" in codes
    codes = [n.code for n in label_warnings({"praise": 40, "category": 40}, 80)]
    assert "formats.label_is_heading" not in codes
