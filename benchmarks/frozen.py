"""Fine-tuning with all layers, and with the lower half frozen and its outputs kept.

    python -m benchmarks.frozen [--seeds 1 2 3 4 5] [--rows N] [--json FILE]

The English reviews with the starter encoder: 4,000 to learn from (200 of them choose the epoch),
the 1,000 of the testing file to judge by. Each training in a process of its own; processor seconds
beside the clock, because other work changes the clock alone.
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
    """Prints one line a training, and means with standard errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--rows", type=int, help="training rows, drawn by the seed")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("DATA", "COURSE", "SEED"))
    given = parser.parse_args()
    if given.one:
        data, course, seed = given.one
        print(json.dumps(train(Path(data), course, int(seed), given.rows)))
        return
    found: dict[str, list[dict[str, float]]] = {course: [] for course in COURSES}
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(Path(folder), WHOLE)
        for seed in given.seeds:
            for course, results in found.items():
                command = [sys.executable, "-m", "benchmarks.frozen", "--one", str(data), course]
                command += [str(seed), *(["--rows", str(given.rows)] if given.rows else [])]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                results.append(json.loads(done.stdout.strip().splitlines()[-1]))
                print(course, seed, results[-1], flush=True)
    for course, results in found.items():
        right = [one["accuracy"] for one in results]
        apart = stdev(right) / len(right) ** 0.5 if len(right) > 1 else float("nan")
        took = fmean(one["processor_seconds"] for one in results)
        print(f"{course:30} accuracy {fmean(right):.3f} ± {apart:.3f}, processor {took:.0f} s")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
