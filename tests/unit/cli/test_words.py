"""No English in the middle of a Chinese screen: help pages, progress, what a source was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from feilun import messages
from feilun.cli.app import command_names, run
from feilun.cli.progress import _count, figures
from feilun.cli.shell import Shell
from feilun.data.audit.finding import Finding
from feilun.data.outcome import Notice
from feilun.messages.words import step_words
from feilun.project import Workspace
from feilun.project.results import Added, Listing
from feilun.table import Table
from feilun.types import Progress

_OPTION = re.compile(r"  --[a-z-]+(?: / --[a-z-]+)?(?: <\w+>)? +")


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
    assert not re.search(r"\brequired\b|\bOPTIONS\b|\bCOMMAND\b|<(list|str|path|int|float)\b", page)


def test_help_stands_in_columns_in_chinese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEILUN_LANG", "zh")
    assert run(["data", "add", "--help"]) == 0
    listed = capsys.readouterr().out.split("选项：")[1].strip("\n").splitlines()
    assert all(cell_len(line) <= 80 for line in listed)
    texts = {cell_len(line[: found.end()]) for line in listed if (found := _OPTION.match(line))}
    assert len(texts) == 1, "the explanations begin in one column"


def test_help_is_english(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "add", "--help"]) == 0
    page = capsys.readouterr().out
    for english in ("Usage: feilun", "[OPTIONS]", "Options:", "--map <text>", "[required]"):
        assert english in page


def test_progress_is_in_words() -> None:
    event = Progress("write", 3, 1200, "rows", {"rows": 3.0, "loss": 0.25})
    assert _count(event) == "3/1,200 rows"
    messages.use("zh")
    assert _count(event) == "3/1,200 行"
    assert figures(event.figures) == "行 3  损失 0.25"
    assert step_words("write") == "写入数据"
    assert _count(Progress("x", 1, 2, "lamps")) == "1/2 lamps"


def test_what_a_source_was_is_in_words() -> None:
    source = {"name": "a.csv", "roles": None, "details": {"format": "CSV", "encoding": "utf-8"}}
    report = {"rows": 1, "new": 1, "duplicates": 0, "bad": 0, "sources": [source]}
    added = Added("r:1", False, {**report, "warnings": [], "bad_rows": None, "counts": {}})
    messages.use("zh")
    shown = [row[0].strip() for row in added.tables()[0].rows]
    assert "格式" in shown
    assert "编码" in shown


def test_parts_of_a_step_are_in_words() -> None:
    messages.use("zh")
    for part in ("scan", "near", "sample", "fits", "findings", "examples"):
        assert not re.search("[a-z]", step_words(f"audit:{part}"))
    assert step_words("train:linear") == "训练 (linear)"  # a method is called what settings call it


def test_names_that_the_audit_keeps_are_in_words() -> None:
    basis = Notice("audit.basis_all", {"rows": 300})
    kinds = Finding("personal", "warn", 3, 300, basis, {"kinds": ["email 2", "phone 1"]})
    shares = ["latin 68.3%", "han 31.7%"]
    scripts = Finding("languages", "warn", 95, 300, basis, {"main": "latin", "shares": shares})
    mark = {"token": "不值", "where": "inside", "label": "差", "covers": 0.2, "purity": 1.0}
    given = Finding("giveaway", "warn", 39, 300, basis, mark)
    said = " ".join(one.text("zh") for one in (kinds, scripts, given))
    assert not re.search("[a-z]{3}", said)
    assert "邮箱 2" in said
    assert "拉丁字母 68.3%" in said
    assert "文中" in said
    english = " ".join(one.text("en") for one in (kinds, scripts, given))
    assert "email 2" in english
    assert "Latin 68.3%" in english


def test_an_example_is_written_in_the_readers_language(workspace_dir: Path) -> None:
    for lang, wanted in (("zh", "[\u4e00-\u9fff]{4}"), ("en", "[a-z]{4} [a-z]")):
        with Workspace(workspace_dir / lang, lang=lang) as workspace:
            workspace.init("reviews")
            sent = workspace.create_key("Ada").curl.partition("inputs")[2]
            assert re.search(wanted, sent), sent
            assert lang == "en" or not re.search("[a-z]{3}", sent), sent


def test_a_title_is_not_cut_into_the_width_of_its_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    title = "评论分类@1 在 评论分类:1 的 34 条测试数据上，比列宽得多的标题"
    listing = Listing([], Table(title, ["a", "b"], [["1", "2"]], ["note"]))
    Shell(None, None, False, False).show(listing)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == title
    assert any(line.split() == ["1", "2"] for line in lines)
    assert lines[-1] == "note"
