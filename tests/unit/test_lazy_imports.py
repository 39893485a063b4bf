"""What is heavy loads when it is used, and torch only where learning is."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import feilun

SOURCE = Path(feilun.__file__).parent
LEARNING = {"accelerate", "datasets", "nncf", "peft", "torch", "transformers"}
HEAVY = LEARNING | {
    "dbos",
    "fastapi",
    "openvino",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "sqlalchemy",
}


def _imported_at_once(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    """Line and package of each import that runs when the module does, however it is nested."""
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, (node.module or "").partition(".")[0]
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from _imported_at_once(node.orelse)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner = [child for child in ast.walk(node) if child is not node]
            blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
            blocks += [child.body for child in inner if isinstance(child, ast.ExceptHandler)]
            for block in blocks:
                yield from _imported_at_once(block)


@pytest.mark.parametrize(
    "room", sorted({file.relative_to(SOURCE).parts[0] for file in SOURCE.rglob("*.py")})
)
def test_no_module_imports_torch_at_its_top(room: str) -> None:
    for file in (SOURCE / room).rglob("*.py") if (SOURCE / room).is_dir() else [SOURCE / room]:
        tree = ast.parse(file.read_text("utf-8"))
        found = [(line, name) for line, name in _imported_at_once(tree.body) if name in LEARNING]
        assert not found, f"{file}: import these inside the functions that use them: {found}"


def test_the_scan_sees_nested_imports_and_spares_type_checking() -> None:
    code = """
if TYPE_CHECKING:
    import peft
try:
    import torch.nn
except ImportError:
    from transformers import Trainer
class A:
    import nncf
def f():
    import datasets
"""
    found = {name for _, name in _imported_at_once(ast.parse(code).body)}
    assert found == {"torch", "transformers", "nncf"}


HELP = """
import sys, contextlib, io, feilun.cli
sys.argv = ["feilun", "--help"]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    feilun.cli.main()
"""


@pytest.mark.parametrize(
    "code",
    ["import feilun", "import feilun.cli", HELP],
    ids=["feilun", "feilun.cli", "feilun --help"],
)
def test_the_front_door_is_light(code: str) -> None:
    show = (
        "\nimport sys, json\nprint(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code + show], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(json.loads(done.stdout.splitlines()[-1]))
