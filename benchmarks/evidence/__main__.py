"""Measures what the audit, the gate, the forecasts and the watch are worth: ``docs/evidence.md``.

python -m benchmarks.evidence [NAME ...] [--output FILE]

Each file of this folder is one part. The first line of its docstring is the part's title.
"""

from __future__ import annotations

import ast
from pathlib import Path

from benchmarks.page import ROOT, Part, main

HEAD = """# Evidence

What feilun claims about data and models, checked where the truth is known: faults that were
planted, differences that were built in, rows that were hidden. Written by `make bench-evidence`,
good or bad.
"""

HERE = Path(__file__).parent
HOURS = ("adapters", "flagship", "students")
"""Parts that train encoders many times: by name only."""


def parts() -> dict[str, Part]:
    """Every part, by the name of its file."""
    found = {}
    for file in sorted(HERE.glob("[!_]*.py")):
        said = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or file.stem
        title, module = said.splitlines()[0].rstrip("."), f"benchmarks.evidence.{file.stem}"
        found[file.stem] = Part(module, title, asked=file.stem in HOURS)
    file = HERE.parent / "frozen.py"
    said = str(ast.get_docstring(ast.parse(file.read_text("utf-8"))))
    found["frozen"] = Part("benchmarks.frozen", said.splitlines()[0].rstrip("."), asked=True)
    return found


if __name__ == "__main__":
    raise SystemExit(
        main(str(__doc__).partition("\n")[0], HEAD, parts(), ROOT / "docs" / "evidence.md")
    )
