"""What feilun imports is what it declares, pinned, and said to be for something."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import feilun

ROOT = Path(__file__).parents[2]
SOURCE = Path(feilun.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

WORKING_UNSEEN = {
    "accelerate": "transformers' Trainer needs it",
    "httptools": "uvicorn takes it by name",
    "psycopg": "SQLAlchemy takes it by URL",
    "python-multipart": "starlette reads forms with it",
    "uvloop": "uvicorn takes it by name",
}


# Nobody needs them but who names them in a setting; their absence is an error that says so.
OPTIONAL = {"modelscope"}


def _names(items: list[str]) -> set[str]:
    return {re.split(r"[\[<>=]", item)[0] for item in items} - {"feilun"}


BASE = _names(PROJECT["dependencies"])
EXTRAS = {name: _names(items) for name, items in PROJECT["optional-dependencies"].items()}
EVERYTHING = BASE.union(*EXTRAS.values())


def _distributions(modules: set[str]) -> set[str]:
    provided = packages_distributions()
    return {
        distribution.lower().replace("_", "-")
        for module in modules - set(sys.stdlib_module_names) - {"feilun"}
        for distribution in provided.get(module, [module])
    }


@cache
def _modules() -> tuple[set[str], set[str]]:
    """The top-level modules that the source imports anywhere in a file, and all its strings, for
    those that it looks up by name."""
    imported: set[str] = set()
    strings: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.add(node.value)
    return imported, strings


def test_what_is_imported_is_declared() -> None:
    """What comes along with something else today may not come tomorrow."""
    imported, _ = _modules()
    assert sorted(_distributions(imported) - EVERYTHING - OPTIONAL) == []


def test_what_is_declared_is_used() -> None:
    imported, strings = _modules()
    used = _distributions(imported | strings) | set(WORKING_UNSEEN)
    declared = BASE | EXTRAS["train"] | EXTRAS["demo"] | EXTRAS["postgres"]
    assert sorted(declared - used) == []


def test_everything_is_pinned() -> None:
    """Without a pin two machines would test different things."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", pin)] == []
    assert sorted(EVERYTHING - {pin.partition("==")[0] for pin in pins}) == []


def test_every_dependency_says_what_it_is_for() -> None:
    page = (ROOT / "docs" / "decisions" / "dependencies.md").read_text("utf-8")
    assert [name for name in sorted(EVERYTHING) if f"\n| {name} |" not in page] == []
