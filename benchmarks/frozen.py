"""Fine-tuning with all layers, and with the lower half frozen and its outputs kept.

    python -m benchmarks.frozen [--seeds 1 2 3 4 5] [--rows N] [--kept FILE]

The English reviews with the starter encoder: 4,000 to learn from (200 of them choose the epoch),
the 1,000 of the testing file to judge by. Each training in a process of its own; processor seconds
beside the clock, because other work changes the clock alone. What is in `FILE`, a line a training,
is not trained again: an interrupted measurement goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.training import TASK, prepare

from feilun.engines.base import open_engine
from feilun.store.dataset import Dataset
from feilun.training.bases import starters
from feilun.training.job import TrainJob
from feilun.training.settings import method

WHOLE = 10_000  # words of a review: all of them
COURSES: dict[str, dict[str, Any]] = {
    "all layers": {"frozen_layers": "none"},
    "all layers, 3 epochs, 2e-4": {"frozen_layers": "none", "epochs": 3, "learning_rate": 2e-4},
    "lower half frozen": {"frozen_layers": 3},
    "lower 4 frozen": {"frozen_layers": 4},
}


def train(data: Path, course: str, seed: int, rows: int | None) -> dict[str, float]:
    """One training in this process: accuracy on the test rows, seconds, processor seconds."""
    chosen = method("full")
    settings = chosen.Settings(**COURSES[course], max_rows=rows, augment="off")
    with tempfile.TemporaryDirectory() as folder:
        out, scratch = Path(folder) / "out", Path(folder) / "scratch"
        out.mkdir()
        scratch.mkdir()
        base = starters()["minilm"]
        job = TrainJob("full", TASK, data, base, out, scratch, seed=seed)
        clock, processor = time.perf_counter(), time.process_time()
        chosen.train(job, settings, lambda progress: None)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        engine, dataset = open_engine(out), Dataset(data)
        right = engine.raw(dataset.items("test")).argmax(axis=1) == dataset.labels("test")
        engine.close()
    return {"accuracy": float(right.mean()), "seconds": clock, "processor_seconds": processor}


def main() -> None:
    """Prints means with standard errors as a table; each training as a line on stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--rows", type=int, help="training rows, drawn by the seed")
    parser.add_argument("--kept", type=Path, help="JSON lines: what was trained before")
    parser.add_argument("--one", nargs=3, metavar=("DATA", "COURSE", "SEED"))
    given = parser.parse_args()
    if given.one:
        data, course, seed = given.one
        print(json.dumps(train(Path(data), course, int(seed), given.rows)))
        return
    kept = _read(given.kept)
    with tempfile.TemporaryDirectory() as folder:
        data: Path | None = None
        for seed in given.seeds:
            for course in COURSES:
                key = course, seed, given.rows
                if key in kept:
                    continue
                data = data or prepare(Path(folder), WHOLE)
                command = [sys.executable, "-m", "benchmarks.frozen", "--one", str(data), course]
                command += [str(seed), *(["--rows", str(given.rows)] if given.rows else [])]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                kept[key] = json.loads(done.stdout.strip().splitlines()[-1])
                line = {"course": course, "seed": seed, "rows": given.rows, **kept[key]}
                print(json.dumps(line), file=sys.stderr, flush=True)
                if given.kept:
                    with given.kept.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
    print("| layers that learn | accuracy on 1,000 unseen rows | processor seconds | seeds |")
    print("| --- | ---: | ---: | ---: |")
    for course in COURSES:
        results = [kept[course, seed, given.rows] for seed in given.seeds]
        right = [one["accuracy"] for one in results]
        apart = f" ± {stdev(right) / len(right) ** 0.5:.3f}" if len(right) > 1 else ""
        took = fmean(one["processor_seconds"] for one in results)
        print(f"| {course} | {fmean(right):.3f}{apart} | {took:,.0f} | {len(results)} |")


def _read(file: Path | None) -> dict[tuple[str, int, int | None], dict[str, float]]:
    """What was trained before, by course, seed and rows."""
    if file is None or not file.is_file():
        return {}
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return {(one.pop("course"), one.pop("seed"), one.pop("rows")): one for one in lines}


if __name__ == "__main__":
    main()
