"""Every page that feilun writes, in a real browser: on a telephone, a tablet and a laptop, in both
languages nothing sticks out, is cut off, is missing, or speaks the other language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from feilun.project import Project
from helpers.browser import CHROMIUM, WIDTHS, look
from helpers.linear import linear_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_UNFILLED = re.compile(r"\b(None|NaN|nan|undefined)\b|\{[a-z_]+\}|\b[a-z]+\.[a-z]+_[a-z_]+\b")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    with linear_project(tmp_path_factory.mktemp("project")) as project:
        project.audit()
        project.run(method="linear")
        yield project


def _pages(project: Project) -> list[Path]:
    return sorted(project.file.parent.rglob("*.html"))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_page_fits_and_is_whole(
    project: Project, tmp_path: Path, lang: str, width: int
) -> None:
    pages = _pages(project)
    assert {page.parent.name for page in pages} == {"audit", "reports"}
    for page in pages:
        faults, text = look(page, tmp_path, lang, width)
        assert not faults, (page.name, faults[:5])
        assert len(_CHINESE.findall(text)) > 200 or lang == "en"
        unfilled = [text[max(0, m.start() - 60) : m.end() + 20] for m in _UNFILLED.finditer(text)]
        assert not unfilled
