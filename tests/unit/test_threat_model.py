"""The threat model names tests that exist, in every row, and both languages name the same."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "concepts" / f"threat-model{lang}.md" for lang in ("", ".zh-CN")]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def names_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def sections(page: Path) -> dict[str, str]:
    """The text below each heading of a row, by its number."""
    parts = re.split(r"^### (API\d+) .*$", page.read_text("utf-8"), flags=re.MULTILINE)
    rows = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {name: text.partition("\n## ")[0] for name, text in rows.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_it_names_exist(page: Path) -> None:
    named = NAMED.findall(page.read_text("utf-8"))
    assert len(named) > 30
    for file, test in named:
        assert (ROOT / file).is_file(), file
        assert test in names_in(ROOT / file), f"{file}::{test}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_is_there_with_a_test(page: Path) -> None:
    rows = sections(page)
    assert list(rows) == [f"API{number}" for number in range(1, 11)]
    for name, text in rows.items():
        assert NAMED.findall(text), name


def test_both_languages_name_the_same_tests() -> None:
    english, chinese = (sections(page) for page in PAGES)
    for name, text in english.items():
        assert NAMED.findall(text) == NAMED.findall(chinese[name]), name
    whole = [NAMED.findall(page.read_text("utf-8")) for page in PAGES]
    assert whole[0] == whole[1]
