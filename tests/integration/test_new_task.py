"""A task is one file: a copy of one under another name is there everywhere, without a change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import feilun

ROOT = Path(__file__).parents[2]
NAME = "mood-of-letters"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The source tree with a copy of the text task under another file name."""
    package = Path(feilun.__file__).parent
    copy = tmp_path / "src" / "feilun"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    task = copy / "tasks" / "text_classification.py"
    shutil.copyfile(task, copy / "tasks" / "mood_of_letters.py")
    return tmp_path


def _python(tree: Path, *words: str, cwd: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "FEILUN_LANG": "en"}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd or tree,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_command_line_offers_it(tree: Path) -> None:
    assert NAME in _python(tree, "-m", "feilun", "init", "--help")
    _python(tree, "-m", "feilun", "init", "letters", "--task", NAME)
    listed = json.loads(_python(tree, "-m", "feilun", "status", "--json"))
    assert listed["projects"][0]["task"] == NAME


def test_api_describes_it(tree: Path) -> None:
    script = (
        "import httpx\n"
        "from feilun.project import Workspace\n"
        "from feilun.serving.process import temporary_server\n"
        "with Workspace('.') as w, temporary_server(w.folder) as address:\n"
        "    print(httpx.get(address + '/openapi.json', trust_env=False).text)\n"
    )
    assert "MoodOfLettersInput" in _python(tree, "-c", script)


def test_documentation_names_it(tree: Path) -> None:
    script = ROOT / "scripts" / "reference.py"
    assert NAME in _python(tree, str(script), "--print", "tasks")


def test_contract_tests_run_over_it(tree: Path) -> None:
    tests = str(ROOT / "tests" / "contract" / "test_tasks.py")
    found = _python(
        tree, "-m", "pytest", tests, "-q", "--collect-only", "-p", "no:cacheprovider", cwd=ROOT
    )
    assert NAME in found
    ran = _python(tree, "-m", "pytest", tests, "-q", "-k", NAME, "-p", "no:cacheprovider", cwd=ROOT)
    assert " passed" in ran
