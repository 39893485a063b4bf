"""Parameter-efficient methods beside `full`: accuracy, weights that learn, processor time.

    python -m benchmarks.evidence.adapters [--data NAME ...] [--zh-base FOLDER] [--methods lora,...]
        [--rows N] [--judged N] [--max-length N] [--epochs N] [--seeds 3] [--kept FOLDER]

Reviews in English and Chinese into two labels, and titles of courses into ten subjects. Every
method learns the same rows from the same base with the settings that it has by itself, chooses its
epoch on the same others, and is judged on rows that none of them sees; the seeds differ in the
training alone. Chinese needs a base that reads it, ``--zh-base``. `FOLDER` keeps results: an
interrupted measurement goes on from there.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.evidence._few import Rows, engine_after, named, version
from benchmarks.evidence._results import (
    bits,
    interval,
    name_of,
    once,
    over_seeds,
    truths,
    workplace,
)

from feilun.metrics.intervals import paired_difference
from feilun.metrics.scores import Score
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training.adapters import AdapterMethod
from feilun.training.settings import method, methods

SETS = ("English", "Chinese", "courses")
FULL = "full"
NEAR = 0.003
"""What a method may lose to `full`."""
HEAD = ("data", "method", "accuracy", "beside full", "within .3", "weights that learn", "seconds")


def efficient(rows: Rows) -> list[str]:
    """The methods that leave the base of `rows` as it is and teach little beside it."""
    task, found = tasks.get(rows.task), []
    for name in methods():
        one = method(name)
        if isinstance(one, AdapterMethod) and one.supports(task, rows.base) is None:
            found.append(name)
    return found


def measured(name: str, rows: Rows, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Which judging rows a method has `right`, how many `weights` learn, and the `seconds` of the
    processor."""
    judged = min(asked.judged, len(rows.items) // 4)
    train = min(asked.rows, (len(rows.items) - judged) * 8 // 9)
    settings = {"augment": "off"} | ({"epochs": asked.epochs} if asked.epochs else {})
    with tempfile.TemporaryDirectory() as folder:
        data = version(Path(folder) / "data", rows, train, judged, 0)
        begun = time.process_time()
        engine, result = engine_after(name, data, Path(folder), rows, settings, seed)
        seconds = time.process_time() - begun
        dataset = Dataset(data)
        with closing(engine):
            right = engine.raw(dataset.items("test")).argmax(axis=1) == dataset.labels("test")
    learn = result.figures["trained_parameters"]
    return {"right": bits(right), "weights": learn, "seconds": seconds}


def lines(data: str, found: Mapping[str, Sequence[dict[str, Any]]]) -> list[str]:
    """The methods as rows of the table, each over the seeds; `full` is among them."""
    right = {name: truths([one["right"] for one in each]) for name, each in found.items()}
    told = []
    for name, each in found.items():
        gain = paired_difference(right[name], right[FULL])
        cells = [
            data,
            name,
            over_seeds([100 * truths([one["right"]]).mean() for one in each]),
            "–" if name == FULL else interval(gain, signed=True),
            "–" if name == FULL else near(gain),
            f"{each[0]['weights']:,.0f}",
            f"{np.mean([one['seconds'] for one in each]):,.0f}",
        ]
        told.append(f"| {' | '.join(cells)} |")
    return told


def near(gain: Score) -> str:
    """Whether no more than `NEAR` is lost, and whether the rows prove it."""
    said = "yes" if gain.value >= -NEAR else "no"
    return said if gain.low >= -NEAR or gain.high < -NEAR else f"{said}, not proven"


def main() -> None:
    """Prints the table with its words."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", nargs="*", choices=SETS, default=SETS)
    options.add_argument("--zh-base", type=Path)
    options.add_argument("--methods", type=lambda said: said.split(","))
    options.add_argument("--rows", type=int, default=2400)
    options.add_argument("--judged", type=int, default=1000)
    options.add_argument("--max-length", type=int, default=64)
    options.add_argument("--epochs", type=int)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--kept", type=Path, help="folder to go on from")
    asked = options.parse_args()
    for package in ("torch", "transformers", "peft"):
        importlib.import_module(package)  # not in the seconds of the method that comes first
    print(
        f"{asked.seeds} seeds, at most {asked.rows:,} rows to learn from and {asked.judged:,} that "
        "judge. Accuracy in %, the mean over the seeds with its interval; beside `full` in points, "
        "paired row by row on the mean of the seeds; seconds of the processor for a training.\n"
    )
    print(f"| {' | '.join(HEAD)} |\n| --- | --- | ---: | ---: | --- | ---: | ---: |")
    with workplace(asked.kept) as kept:
        for data in asked.data:
            rows = replace(named(data), settings={"max_length": asked.max_length})
            if data == "Chinese":
                rows = replace(rows, base=asked.zh_base)
            if rows.base is None:
                print(f"| {data} | no base that reads it was given |")
                continue
            found: dict[str, list[dict[str, Any]]] = {}
            for name in (FULL, *(asked.methods or efficient(rows))):
                for seed in range(asked.seeds):
                    asked_for = (asked.rows, asked.judged, asked.max_length, asked.epochs)
                    file = kept / f"{name_of(data, name, *asked_for, seed)}.json"
                    one = once(file, partial(measured, name, rows, seed, asked))
                    found.setdefault(name, []).append(one)
            print("\n".join(lines(data, found)), flush=True)


if __name__ == "__main__":
    main()
