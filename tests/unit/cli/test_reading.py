"""How files are written, said on the command line: every command that reads files takes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from feilun.cli.app import run

TEXTS = [
    f"kettle {n} was {'neat and cheerful' if n % 2 else 'stained and broken'}" for n in range(80)
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with one project, as the current folder."""
    monkeypatch.chdir(tmp_path)
    assert run(["init", "it"]) == 0
    return tmp_path


def workbook(file: Path) -> Path:
    """Two sheets with tables; the second has a line above its header and labels of its own."""
    book = openpyxl.Workbook()
    first = book.active
    first.append(["review", "category"])
    second = book.create_sheet("June")
    second.append(["a", "title"])
    second.append(["review", "category"])
    for n, text in enumerate(TEXTS):
        first.append([text, "ab"[n % 2]])
        second.append([f"{text} in June", "cd"[n % 2]])
    book.save(file)
    return file


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """The one object that a command prints."""
    capsys.readouterr()
    assert run([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_add_takes_a_sheet_and_a_header_row(folder: Path, capsys: Any) -> None:
    file = str(workbook(folder / "a.xlsx"))
    added = told(capsys, "data", "add", file, "--sheet", "2", "--header-row", "2")
    assert set(added["report"]["labels"]) == {"c", "d"}
    wrong = told(capsys, "data", "add", file, "--sheet", "July", code=2)
    assert "June" in json.dumps(wrong)


def test_audit_and_corpus_take_them(folder: Path, capsys: Any) -> None:
    file = str(workbook(folder / "a.xlsx"))
    found = told(capsys, "data", "audit", file, "--sheet", "June", "--header-row", "2")
    assert "in June" in json.dumps(found, ensure_ascii=False)
    kept = told(capsys, "data", "add", file, "--corpus", "--sheet", "June", "--header-row", "2")
    assert kept["rows"] == len(TEXTS)


def test_watch_takes_an_encoding_and_a_delimiter(folder: Path, capsys: Any) -> None:
    (folder / "inbox").mkdir()
    rows = "".join(f"{text} żółw^{'ab'[n % 2]}\n" for n, text in enumerate(TEXTS))
    (folder / "inbox" / "a.csv").write_bytes(f"text^label\n{rows}".encode("cp852"))
    words = ["data", "watch", "inbox", "--once", "--encoding", "cp852", "--delimiter", "^"]
    done = told(capsys, *words)
    assert [one["new"] for one in done["taken"]] == [len(TEXTS)]
    told(capsys, "data", "export", "out.csv")
    assert (folder / "out.csv").read_text("utf-8-sig").count("żółw") == len(TEXTS)


@pytest.mark.parametrize("words", [["evaluate"], ["data", "audit"], ["predict", "a text"]])
def test_without_a_file_there_is_nothing_to_say_it_of(
    folder: Path, capsys: Any, words: list[str]
) -> None:
    wrong = told(capsys, *words, "--sheet", "June", code=2)
    assert "--sheet" in json.dumps(wrong)
