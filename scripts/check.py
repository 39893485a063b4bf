"""``make check``: lint, types, and the tests that the changes since main can touch, in 90 seconds.

    python scripts/check.py                      # what differs from main, committed or not
    python scripts/check.py --list FILE ...      # which tests belong to these files, nearest first

A test file belongs to a change when it imports or names a changed module, or one that imports it,
and so on; the fewer imports lie between, the earlier it runs. What the time does not suffice for is
named at the end, and `make test` runs it.
"""

from __future__ import annotations

import argparse
import ast
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import grimp

__all__ = ["main", "nearest"]

ROOT = Path(__file__).resolve().parent.parent
SOURCES, TESTS = ROOT / "src", ROOT / "tests"
SECONDS = 90
_OWN = 5  # that stopping takes
_MOST = 40  # files that are read at all
_NAMED = re.compile(r"\bfeilun(?:\.\w+)+")
# Nothing imports these; who reads them is known.
_READERS = {
    "src/feilun/messages/": ("unit/test_messages.py", "unit/test_docs.py"),
    "docs/": ("unit/test_docs.py", "unit/test_docs_reference.py"),
    "README": ("unit/test_docs.py",),
    "scripts/reference": ("unit/test_docs_reference.py",),
    "pyproject.toml": ("unit/test_dependencies.py", "unit/test_setup.py"),
    "scripts/setup.py": ("unit/test_setup.py",),
    "scripts/circles.py": ("unit/test_circles.py",),
    "scripts/check.py": ("unit/test_check.py",),
}


def changed(base: str) -> list[str]:
    """The files that differ from where this branch left `base`, those not committed too."""
    left = _git("merge-base", base, "HEAD") or ["HEAD"]
    found = [
        *_git("diff", "--name-only", left[0]),
        *_git("ls-files", "--others", "--exclude-standard"),
    ]
    return sorted({name for name in found if name != ".venv"})


def _git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[:-1]


def _module(file: Path) -> str:
    folder = SOURCES if file.is_relative_to(SOURCES) else TESTS
    parts = file.relative_to(folder).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _names(file: Path, known: Iterable[str]) -> set[str]:
    """The modules of `known` that a file imports, or names in a string."""
    text = file.read_text("utf-8")
    found = set(_NAMED.findall(text))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    modules = set()
    for name in found:
        while name and name not in known:
            name = name.rpartition(".")[0]
        modules.add(name)
    return modules - {"", "feilun"}


def _users() -> dict[str, set[str]]:
    """Of each module, and each file of tests, what imports it."""
    graph = grimp.build_graph("feilun", cache_dir=None)
    users = {name: set(graph.find_modules_that_directly_import(name)) for name in graph.modules}
    for name, those in users.items():
        parent = name.rpartition(".")[0]
        if not those and parent:  # found by its place, as tasks, methods and commands are
            those |= users[parent] | {parent}
    files = [file for file in TESTS.rglob("*.py") if "torture" not in file.parts]
    for file in files:
        users.setdefault(_module(file), set())
    for file in files:
        for name in _names(file, users):
            users[name].add(_module(file))
    return users


def nearest(files: Iterable[str], users: Mapping[str, set[str]] | None = None) -> dict[str, int]:
    """The files of tests that `files` can touch, each with how many imports lie between."""
    users = _users() if users is None else users
    found: dict[str, int] = {}
    waiting: deque[tuple[str, int]] = deque()
    for name in files:
        for beginning, readers in _READERS.items():
            if name.startswith(beginning):
                waiting += [(_module(TESTS / reader), 0) for reader in readers]
        path = ROOT / name
        if path.suffix == ".py" and (path.is_relative_to(SOURCES) or path.is_relative_to(TESTS)):
            waiting.append((_module(path), 0))
        elif path.is_relative_to(SOURCES):  # a template, say: whoever speaks of it
            here = [file for file in path.parents[1].rglob("*.py") if path.name in file.read_text()]
            waiting += [(_module(file), 1) for file in here]
    while waiting:
        module, steps = waiting.popleft()
        if module in found:
            continue
        found[module] = steps
        waiting += [(user, steps + 1) for user in sorted(users.get(module, ()))]
    tests = {name: TESTS.joinpath(*name.split(".")).with_suffix(".py") for name in found}
    return {
        str(file.relative_to(ROOT)): found[name]
        for name, file in tests.items()
        if file.name.startswith("test_") and file.is_file()
    }


class _Seen:
    """A plug-in of pytest: which tests failed, and which were not reached."""

    def __init__(self) -> None:
        self.left: set[str] = set()
        self.failed = False

    def pytest_collection_finish(self, session: Any) -> None:
        self.left = {item.nodeid for item in session.items}

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.failed |= report.failed
        if report.when == "teardown":
            self.left.discard(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        self.failed |= report.failed


def _tested(order: list[str], seconds: float) -> int:
    """Runs these files of tests, so many of them as `seconds` suffice for; 1 where one fails."""
    import pytest

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    near, far = order[:_MOST], set(order[_MOST:])
    seen = _Seen()
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(1.0, seconds))
    try:
        code = pytest.main(
            ["-q", "--no-header", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *near],
            plugins=[seen],
        )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    late = far | {node.partition("::")[0] for node in seen.left}
    if late:
        print(f"not reached in time, {len(late)} files (make test runs them):", *sorted(late))
    ended = (pytest.ExitCode.OK, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.NO_TESTS_COLLECTED)
    return int(seen.failed or code not in ended)


def main(arguments: list[str]) -> int:
    """Runs the checks and returns the exit code; `--list` only tells."""
    parser = argparse.ArgumentParser(prog="check.py", description=__doc__)
    parser.add_argument("--list", nargs="+", metavar="FILE", help="only say which tests belong")
    parser.add_argument("--base", default="main", help="what the changes are counted from")
    options = parser.parse_args(arguments)
    begun = monotonic()
    sys.path.insert(0, str(SOURCES))
    files = options.list or changed(options.base)
    order = sorted(nearest(files).items(), key=lambda one: (one[1], "/unit/" not in one[0], one[0]))
    if options.list:
        for name, steps in order:
            print(steps, name)
        return 0
    here = Path(sys.executable).parent
    print(f"{len(files)} files differ from {options.base}; {len(order)} files of tests, if all fit")
    lint = [["ruff", "check"], ["ruff", "format", "--check", "-q"], ["lint-imports", "--no-logo"]]
    commands = [[str(here / words[0]), *words[1:]] for words in lint]
    commands.append([sys.executable, str(ROOT / "scripts" / "circles.py")])
    types = subprocess.Popen([str(here / "mypy")], cwd=ROOT)  # beside the tests: the longest
    code = max(subprocess.run(words, cwd=ROOT, check=False).returncode for words in commands)
    if order:
        left = begun + SECONDS - _OWN - monotonic()
        code = max(code, _tested([name for name, _ in order], left))
    code = max(code, types.wait())
    print(f"{'all well' if not code else 'NOT well'} after {monotonic() - begun:.0f} s")
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
