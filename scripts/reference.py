"""Writes ``docs/reference`` from the code: settings, commands, routes, errors, tasks, Python.

    python scripts/reference.py                  # writes the pages
    python scripts/reference.py --check          # says which pages are out of date, exit code 1
    python scripts/reference.py --print tasks    # one page on stdout

Nothing of these pages is kept by hand except examples and the Chinese words of settings, which lie
beside the generators in ``reference_pages``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import reference_pages as pages

from feilun import messages

__all__ = ["build", "main"]

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"


def build() -> dict[str, str]:
    """The text of every page by its path below ``docs/reference``."""
    made: dict[str, str] = {}
    for name, lang in pages.names():
        with _speaking(lang):
            made[pages.path(name, lang)] = pages.render(name, lang)
    return made


def stale(folder: Path = FOLDER) -> list[str]:
    """The pages whose file is missing or says something else, and files that no page makes."""
    made = build()
    found = {
        str(file.relative_to(folder)): file.read_text("utf-8") for file in folder.rglob("*.md")
    }
    return sorted(name for name in made.keys() | found.keys() if made.get(name) != found.get(name))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(prog="reference.py", description=__doc__)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true")
    group.add_argument("--print", dest="page", choices=sorted({n for n, _ in pages.names()}))
    options = parser.parse_args(arguments)
    if options.page:
        with _speaking("en"):
            sys.stdout.write(pages.render(options.page, "en"))
        return 0
    if options.check:
        wrong = stale()
        for name in wrong:
            print(f"out of date: docs/reference/{name} (make docs writes it)")
        return 1 if wrong else 0
    for name, text in build().items():
        file = FOLDER / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return 0


@contextmanager
def _speaking(lang: messages.Language) -> Iterator[None]:
    """The pages must not depend on the language of whoever makes them."""
    before = messages.language()
    messages.use(lang)
    try:
        yield
    finally:
        messages.use(before)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    raise SystemExit(main())
