"""Runs the benchmarks and writes ``docs/benchmarks.md``.

    python -m benchmarks [NAME ...] [--output FILE]

Each benchmark prints its tables as Markdown. A part that is not run keeps what it said last time,
so that one can be repeated alone; every part says when and on what it ran.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

Measured with `make bench`, good or bad. Every table is one run on one machine, so its ratios hold
together; seconds of different parts do not compare. Lengths are stated where they matter.
"""

PARTS: dict[str, tuple[str, list[str], str]] = {
    "training": (
        "Training against the transformers Trainer's default arguments",
        [],
        (
            "Targets: at least 4 times as fast at equal epochs within half a point of accuracy, at "
            "least 6 times to the accuracy that the default ends with."
        ),
    ),
    "cold": (
        "From the end of `feilun data add` to the first answer over HTTP",
        [],
        (
            "4,000 real reviews, cold processes included. Targets: 20 s for rung zero, "
            "60 s for the head."
        ),
    ),
    "serving": (
        "Serving",
        ["--peers"],
        "Target: through HTTP, with keys, ledger and prediction log, at least 60 % of `limit(64)`.",
    ),
    "engines": ("Engines in process", [], "What the batcher reaches of a sorted list."),
    "reading": (
        "Reading",
        [],
        "Seconds grow with the rows, the peak of memory hardly.",
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*PARTS, []], help="which; all by default")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    sections = _sections(options.output)
    failed = []
    for name in options.names or PARTS:
        print(f"== {name}", file=sys.stderr)
        text = _run(name)
        if text is None:
            failed.append(name)
        else:
            sections[name] = text
            _write(options.output, sections)
    if failed:
        print("failed: " + ", ".join(failed), file=sys.stderr)
    return int(bool(failed))


def _run(name: str) -> str | None:
    title, arguments, target = PARTS[name]
    words = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return None
    command = " ".join(["python", *words[1:]])
    today = datetime.datetime.now(datetime.UTC).date()
    return "\n".join(
        [
            f"## {title}",
            "",
            target,
            "",
            done.stdout.strip(),
            "",
            f"`{command}`, {today}, {_machine()}.",
            "",
        ]
    )


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text("utf-8"))
        model = found.group(1) if found else model
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}"


def _sections(file: Path) -> dict[str, str]:
    """The parts that the page has already, by name."""
    if not file.is_file():
        return {}
    parts = re.split(r"(?m)^(?=## )", file.read_text("utf-8"))[1:]
    titles = {title: name for name, (title, _, _) in PARTS.items()}
    found = {titles.get(part.splitlines()[0][3:]): part for part in parts}
    return {name: part for name, part in found.items() if name is not None}


def _write(file: Path, sections: dict[str, str]) -> None:
    ordered = [sections[name].rstrip() + "\n" for name in PARTS if name in sections]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([HEAD, *ordered]), "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
