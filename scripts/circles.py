"""Says which modules import one another in a circle; exit code 1 where there are any.

    python scripts/circles.py            # of feilun
    python scripts/circles.py PACKAGE    # of another package that can be imported

Every import counts: those inside functions, and those for type annotations alone. A circle means
that none of its files can be read, tested or moved without the others; what they share belongs
into a file below them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import grimp
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["circles", "main"]

SOURCES = Path(__file__).resolve().parent.parent / "src"


def circles(package: str) -> list[list[str]]:
    """The circles of `package`, the largest first, each as the imports that make it: lines such as
    ``feilun.a imports feilun.b (line 7)``."""
    graph = grimp.build_graph(package, cache_dir=None)
    names = sorted(graph.modules)
    place = {name: number for number, name in enumerate(names)}
    edges = [
        (place[name], place[other])
        for name in names
        for other in graph.find_modules_directly_imported_by(name)
    ]
    starts, ends = zip(*edges, strict=True) if edges else ((), ())
    matrix = coo_array((np.ones(len(edges)), (starts, ends)), shape=(len(names), len(names)))
    _, part = connected_components(matrix, directed=True, connection="strong")
    found: dict[int, list[str]] = {}
    for start, end in sorted(edges):
        if part[start] == part[end]:
            detail = graph.get_import_details(importer=names[start], imported=names[end])
            line = detail[0]["line_number"] if detail else "?"
            words = f"{names[start]} imports {names[end]} (line {line})"
            found.setdefault(int(part[start]), []).append(words)
    return sorted(found.values(), key=len, reverse=True)


def main(arguments: list[str]) -> int:
    """Prints the circles of the package that is named, and returns the exit code."""
    sys.path.insert(0, str(SOURCES))
    found = circles(arguments[0] if arguments else "feilun")
    for number, lines in enumerate(found, 1):
        print(f"import circle {number} of {len(found)}:", *lines, sep="\n  ")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
