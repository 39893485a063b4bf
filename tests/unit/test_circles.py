"""The check of `make lint` for import circles finds them, whatever they hide in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "circles.py"


def checked(folder: Path, **files: str) -> subprocess.CompletedProcess[str]:
    package = folder / "house"
    package.mkdir()
    for name, text in {"__init__": "", **files}.items():
        (package / f"{name}.py").write_text(text)
    return subprocess.run(
        [sys.executable, str(SCRIPT), "house"],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "back",
    [
        "import house.a\n",
        "def f():\n    from house.a import x\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.a import X\n",
    ],
    ids=["plain", "in-a-function", "for-types"],
)
def test_a_circle_is_told_with_its_imports(tmp_path: Path, back: str) -> None:
    done = checked(tmp_path, a="from house import b\n", b="import house.c\n", c=back)
    assert done.returncode == 1, done.stderr
    line = back.count("\n")
    assert "house.a imports house.b (line 1)" in done.stdout
    assert "house.b imports house.c (line 1)" in done.stdout
    assert f"house.c imports house.a (line {line})" in done.stdout


def test_without_a_circle_there_is_nothing_to_say(tmp_path: Path) -> None:
    done = checked(tmp_path, a="from house import b\n", b="import json\n")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
