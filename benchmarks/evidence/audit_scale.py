"""The audit by stage: seconds and memory as the rows grow.

    python -m benchmarks.evidence.audit_scale [--rows 10000,100000,1000000]

Made of the English reviews: sentences drawn and joined, a tenth of the rows a copy of another, a
tenth a copy with one letter changed, by the seed. Every row has a number of seven digits, so that
all take the closer look for personal data, which costs more than all else of the scan. Each size
runs in a process of its own; the peak is that process's. What is fitted sees its sample of at most
20,000 rows, whatever there are.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from feilun.demo.tasks import text_classification as reviews

ROWS = "10000,100000,1000000"
STAGES = ("read", "scan", "near", "sample", "fits", "findings", "examples")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=ROWS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_one(options.one)))
        return
    sizes = [int(rows) for rows in options.rows.split(",")]
    print("| rows | MB | " + " | ".join(f"{name}, s" for name in STAGES) + " | peak, MB |")
    print("|--:|--:|" + "--:|" * len(STAGES) + "--:|")
    found = [_apart(rows) for rows in sizes]
    for rows, one in zip(sizes, found, strict=True):
        stages = " | ".join(f"{one[name]:.1f}" for name in STAGES)
        print(f"| {rows:,} | {one['size']:.0f} | {stages} | {one['peak']:.0f} |")
    if len(sizes) > 1:
        print("\nTimes the rows, times the seconds, from one line to the next:\n")
        print("| rows | read | scan | near |")
        print("|--:|--:|--:|--:|")
        for at in range(1, len(sizes)):
            grown = " | ".join(
                f"{found[at][name] / max(0.01, found[at - 1][name]):.1f}"
                for name in ("read", "scan", "near")
            )
            print(f"| {sizes[at] / sizes[at - 1]:.0f} | {grown} |")


def _apart(rows: int) -> dict[str, float]:
    print(f"-- {rows:,} rows", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.evidence.audit_scale", "--one", str(rows)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _one(rows: int) -> dict[str, float]:
    from feilun.data.audit.staging import stage
    from feilun.data.sources.base import Source
    from feilun.pipeline.steps.audit import Looked, look
    from feilun.tasks.base import get

    task = get("text-classification")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "rows.csv"
        subprocess.run(
            [sys.executable, "-c", _MAKE, str(file), str(rows)],
            check=True,
            cwd=Path(__file__).parents[2],
        )
        began = time.perf_counter()
        staged = stage([Source(file)], task, {}, {}, folder / "rows")
        read = time.perf_counter() - began
        looked = Looked(
            data=staged.data,
            task=task,
            settings={},
            divided=False,
            suspects=folder / "suspects.csv",
            scratch=folder,
        )
        found = look(looked, lambda progress: None)
        size = file.stat().st_size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**found.stages, "read": read, "size": size, "peak": peak}


_MAKE = """
import sys
from pathlib import Path
from benchmarks.evidence.audit_scale import make
make(Path(sys.argv[1]), int(sys.argv[2]))
"""


def make(file: Path, rows: int) -> None:
    """Writes the file. In a process of its own, so that what it holds is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        given = reviews.files(Path(folder), "en")
        with given.training.open(encoding="utf-8", newline="") as stream:
            known = [(row[given.text], row[given.label]) for row in csv.DictReader(stream)]
    parts = {label: [s for text, own in known if own == label for s in text.split(". ")]
             for label in sorted({label for _, label in known})}  # fmt: skip
    draw = random.Random(0)
    kept: list[tuple[str, str]] = []
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for number in range(rows):
            kind = draw.random()
            if kind < 0.2 and kept:
                text, label = draw.choice(kept)
                if kind < 0.1:
                    at = draw.randrange(len(text))
                    text = text[:at] + "x" + text[at + 1 :]
            else:
                label = draw.choice(list(parts))
                text = ". ".join(draw.choice(parts[label]) for _ in range(4)) + f" {number:07}"
                if len(kept) < 20_000:
                    kept.append((text, label))
            writer.writerow([text, label])


if __name__ == "__main__":
    main()
