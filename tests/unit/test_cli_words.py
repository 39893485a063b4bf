"""No English in the middle of a Chinese screen: help pages, progress, what a source was."""

from __future__ import annotations

import re

import pytest

from feilun import messages
from feilun.cli.app import command_names, run
from feilun.cli.progress import _count, _label, figures
from feilun.project.results import Added
from feilun.types import Progress


@pytest.mark.parametrize("words", ["", *command_names()])
def test_help_is_chinese(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEILUN_LANG", "zh")
    assert run([*words.split(), "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("用法：feilun")
    assert "选项：" in page
    for english in ("Usage:", "Options:", "Arguments:", "Commands:", "Show this", "default:"):
        assert english not in page
    assert not re.search(r"\brequired\b", page)


def test_help_is_english(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "add", "--help"]) == 0
    page = capsys.readouterr().out
    for english in ("Usage: feilun", "Options:", "Arguments:", "Show this", "[required]"):
        assert english in page


def test_progress_is_in_words() -> None:
    event = Progress("write", 3, 1200, "rows", {"rows": 3.0, "loss": 0.25})
    assert _count(event) == "3/1,200 rows"
    messages.use("zh")
    assert _count(event) == "3/1,200 行"
    assert figures(event.figures) == "行 3  损失 0.25"
    assert _label("write") == "写入数据"
    assert _count(Progress("x", 1, 2, "lamps")) == "1/2 lamps"


def test_what_a_source_was_is_in_words() -> None:
    source = {"name": "a.csv", "roles": None, "details": {"format": "CSV", "encoding": "utf-8"}}
    report = {"rows": 1, "new": 1, "duplicates": 0, "bad": 0, "sources": [source]}
    added = Added("r:1", False, {**report, "warnings": [], "bad_rows": None, "counts": {}})
    messages.use("zh")
    shown = [row[0].strip() for row in added.tables()[0].rows]
    assert "格式" in shown
    assert "编码" in shown
