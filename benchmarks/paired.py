"""An earlier version of feilun beside this one: the same benchmarks, in turns.

    git worktree add ../earlier COMMIT
    python -m benchmarks.paired ../earlier [--parts reading,engines,serving,training] [--rounds 3]

Each version runs its own code with this Python; which of them begins changes from round to round.
A ratio is that of one round; above 1 this version does more a second, or takes less time. Target:
none below .95.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.page import ROOT

_TRAIN = """
import json, sys
from pathlib import Path
from benchmarks.training import ours, prepare
file = Path(sys.argv[2])
file.write_text(json.dumps(ours(prepare(file.parent, 20), 1)))
"""

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Part:
    """What is run, with ``--json FILE`` behind it, and the figures in its file: how many things are
    done a second."""

    command: Sequence[str]
    figures: Callable[[Any], Figures]


def _reading(found: Any) -> Figures:
    (one,) = found
    return {
        "reading, rows a second": one["read"] / one["seconds"],
        "the same without near-duplicates": one["read"] / one["seconds_without_near"],
    }


def _engines(found: Any) -> Figures:
    return {
        f"engine, texts a second, {name}": row[name]
        for row in found
        for name in ("sorted", "limit(1)", "limit(64)")
    }


def _serving(found: Any) -> Figures:
    return {
        f"calls a second over HTTP, {one['count']} clients": one["rows"][0]["per_second"]
        for one in found["rounds"]
        if one["what"] == "feilun"
    }


def _training(found: Any) -> Figures:
    return {"training, epochs a second": 1 / found["seconds"]}


PARTS = {
    "reading": Part(["-m", "benchmarks.reading", "--rows", "100000"], _reading),
    "engines": Part(
        ["-m", "benchmarks.engines", "--variants", "fp32", "--calls", "1,64", "--rounds", "1"],
        _engines,
    ),
    "serving": Part(
        [
            "-m",
            "benchmarks.serving",
            "--clients",
            "1,64",
            "--seconds",
            "4",
            "--rounds",
            "1",
            "--pairs",
            "0",
        ],
        _serving,
    ),
    "training": Part(["-c", _TRAIN], _training),
}


def measured(part: Part, checkout: Path) -> Figures:
    """The figures of one run of a version's own benchmark."""
    path = os.pathsep.join([str(checkout / "src"), str(checkout)])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        subprocess.run(
            [sys.executable, *part.command, "--json", str(file)],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return part.figures(json.loads(file.read_text("utf-8")))


def main() -> None:
    """Prints a line a figure: the medians of both, the mean ratio and its range over the rounds."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("earlier", type=Path, help="a checkout of the earlier version")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| figure | earlier | now | ratio | lowest to highest round |\n|---|--:|--:|--:|--:|")
    for name in options.parts.split(","):
        rounds: list[tuple[Figures, Figures]] = []
        for number in range(options.rounds):
            order = (options.earlier.resolve(), ROOT)
            found = {one: measured(PARTS[name], one) for one in order[:: -1 if number % 2 else 1]}
            rounds.append((found[order[0]], found[order[1]]))
        for figure in rounds[0][0]:
            values = np.array([[one[figure] for one in pair] for pair in rounds])
            ratios = values[:, 1] / values[:, 0]
            before, after = np.median(values, axis=0)
            mean = float(np.exp(np.log(ratios).mean()))
            print(
                f"| {figure} | {before:,.4g} | {after:,.4g} | {mean:.2f} "
                f"| {ratios.min():.2f} to {ratios.max():.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
