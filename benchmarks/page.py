"""A page of measurements: a module a part, each in a process of its own and printing Markdown.

A part that is not run keeps what it said last time, so that one can be repeated alone; every part
says when and on what it ran. ``--resume`` leaves out what ran today already by the same command, so
that a long page which was interrupted is gone on with.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["ROOT", "Part", "main"]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Part:
    """A section: the module that measures it, its title, what stands above the tables; `asked`:
    it takes hours or much disk, and is run by name only."""

    module: str
    title: str
    text: str = ""
    arguments: tuple[str, ...] = ()
    asked: bool = False


def main(description: str, head: str, parts: Mapping[str, Part], output: Path) -> int:
    """Runs the parts that the command line names, all by default, and writes `output`. What stands
    behind ``--`` goes to the module of the part, in place of the part's own arguments."""
    own, given = sys.argv[1:], None
    if "--" in own:
        own, given = own[: own.index("--")], tuple(own[own.index("--") + 1 :])
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", choices=[*parts, []], help="which; all by default")
    parser.add_argument("--output", type=Path, default=output)
    parser.add_argument("--resume", action="store_true", help="leave out what ran today already")
    options = parser.parse_args(own)
    sections = _sections(options.output, parts)
    failed = []
    for name in options.names or [name for name, part in parts.items() if not part.asked]:
        print(f"== {name}", file=sys.stderr)
        part = parts[name] if given is None else replace(parts[name], arguments=given)
        if options.resume and _last_line(part, "") in sections.get(name, ""):
            continue
        text = _run(part)
        if text is None:
            failed.append(name)
        else:
            sections[name] = text
            ordered = [sections[one].rstrip() + "\n" for one in parts if one in sections]
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text("\n".join([head, *ordered]), "utf-8")
    if failed:
        print("failed: " + ", ".join(failed), file=sys.stderr)
    return int(bool(failed))


def _run(part: Part) -> str | None:
    words = [sys.executable, "-m", part.module, *part.arguments]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return None
    said = [part.text, done.stdout.strip(), _last_line(part, f", {_machine()}.")]
    return "\n\n".join([f"## {part.title}", *filter(None, said)]) + "\n"


def _last_line(part: Part, more: str) -> str:
    """The command of a part and today's date, and `more`. Where a measurement is kept while it goes
    on does not change it."""
    words = list(part.arguments)
    if "--kept" in words:
        del words[(place := words.index("--kept")) : place + 2]
    command = " ".join(["python", "-m", part.module, *words])
    return f"`{command}`, {datetime.datetime.now(datetime.UTC).date()}{more}"


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text("utf-8"))
        model = found.group(1) if found else model
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}"


def _sections(file: Path, parts: Mapping[str, Part]) -> dict[str, str]:
    """The parts that the page has already, by name."""
    if not file.is_file():
        return {}
    pieces = re.split(r"(?m)^(?=## )", file.read_text("utf-8"))[1:]
    names = {part.title: name for name, part in parts.items()}
    found = {names.get(piece.splitlines()[0][3:]): piece for piece in pieces}
    return {name: piece for name, piece in found.items() if name is not None}
