"""Reading 10 thousand, 100 thousand, 1 million rows of CSV into a data version.

    python benchmarks/reading.py [--rows 10000,100000,1000000] [--json FILE]

Each size is read in a process of its own: seconds of the wall clock, and the peak of its memory
beside that of a process that has imported the same code and read nothing. Then once more without
looking for near-duplicates.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_CHILD = """
import json, resource, sys, time
from pathlib import Path
import numpy, pyarrow, pyarrow.parquet, pyarrow.compute
from feilun.config import DataConfig
from feilun.data.sources import Source
from feilun.data.versions import build
from feilun.tasks import base

task = base.get("text-classification")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
settings = DataConfig(near_duplicates=sys.argv[3] == "near")
report = build([Source(Path(sys.argv[1]))], task=task, settings=settings, out=Path(sys.argv[2]))
print(json.dumps({
    "seconds": time.perf_counter() - began,
    "base_mib": before / 1024,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "rows": report.rows,
    "read": report.read,
}))
"""


def write_csv(file: Path, rows: int) -> None:
    """`rows` reviews of some 400 characters, one in twenty of them a duplicate."""
    chance = random.Random(0)
    words = [f"word{i:04d}" for i in range(5000)] + ["质量很好", "物流太慢", "值得购买"]
    last = ""
    with file.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["id", "review", "score"])
        for i in range(rows):
            if i % 20:
                last = " ".join(chance.choices(words, k=45))
            out.writerow([i, last, chance.choice(["good", "bad", "other"])])


def measure(file: Path, scratch: Path, near: bool = True) -> dict[str, Any]:
    """One build of `file` in a fresh process."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(file), str(scratch), "near" if near else "equal"],
        capture_output=True,
        text=True,
        env=env,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def run(sizes: list[int]) -> list[dict[str, Any]]:
    """The figures of all sizes."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            file = Path(folder) / f"{rows}.csv"
            write_csv(file, rows)
            figures = measure(file, Path(folder) / f"out{rows}")
            without = measure(file, Path(folder) / f"equal{rows}", near=False)
            figures["seconds_without_near"] = without["seconds"]
            figures["mib"] = file.stat().st_size / 2**20
            found.append(figures)
            file.unlink()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = run([int(rows) for rows in arguments.rows.split(",")])
    print(
        "| rows | file | seconds | without near-duplicates | rows a second | peak memory "
        "| of that, beyond the imports |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for f in figures:
        print(
            f"| {f['read']:,} | {f['mib']:.0f} MiB | {f['seconds']:.1f} | "
            f"{f['seconds_without_near']:.1f} | "
            f"{f['read'] / f['seconds']:,.0f} | {f['peak_mib']:.0f} MiB | "
            f"{f['peak_mib'] - f['base_mib']:.0f} MiB |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
