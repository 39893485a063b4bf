"""Fixtures that several integration tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.few import few
from helpers.newcomer import Newcomer


@pytest.fixture(params=few(["en", "zh"], "zh"))
def newcomer(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Newcomer]:
    """In an empty folder, in each language; what the test's `walks` names has to be typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEILUN_LANG", request.param)
    made = Newcomer(tmp_path, request.param, capsys)
    yield made
    made.holds(request.function)
