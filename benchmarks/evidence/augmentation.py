"""Augmentation: what changed copies of the training rows give, and whether the trial foresees it.

    python -m benchmarks.evidence.augmentation [--methods linear]

Few rows train, once without copies and once with, whatever the trial says; then stands what
``augment = "auto"`` would have decided. Full training also runs without copies but longer, so that
copies do not win by more steps alone; it has to be asked for, since it takes an hour on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.evidence._few import Rows, engine_after, named, version

from feilun.metrics.probabilities import softmax
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training import augment, augment_trial, checkpoints
from feilun.training.job import TrainJob
from feilun.training.rows import all_rows
from feilun.training.settings import method

TEST = 700
CASES: tuple[tuple[str, str, int, int, dict[str, Any], dict[str, Any]], ...] = (
    # data, method, training rows, seeds, settings, settings that train longer instead
    ("English", "linear", 200, 3, {}, {}),
    ("English", "linear", 1000, 3, {}, {}),
    ("Chinese", "linear", 200, 3, {}, {}),
    ("Chinese", "linear", 1000, 3, {}, {}),
    ("digits", "linear", 200, 3, {}, {}),
    ("digits", "linear", 1000, 3, {}, {}),
    ("English", "full", 200, 2, {"epochs": 6}, {"epochs": 12}),
    ("digits", "full", 200, 2, {"epochs": 15}, {"epochs": 30}),
)


def scores(engine: Any, dataset: Dataset) -> tuple[float, float]:
    """Accuracy and log-loss on the test rows."""
    truth = dataset.labels("test")
    stated = softmax(engine.raw(dataset.items("test")), 1.0)
    right = np.maximum(stated[np.arange(len(truth)), truth], 1e-9)
    return float((stated.argmax(axis=1) == truth).mean()), float(-np.log(right).mean())


def foreseen(data: Path, folder: Path, rows: Rows, name: str, seed: int) -> bool:
    """Whether ``auto`` keeps the copies: ``linear`` by itself, dearer methods by the trial."""
    folder.mkdir()
    dataset = Dataset(data)
    job = TrainJob(name, rows.task, data, None, folder, folder, seed=seed)
    checkpoints.claim(job)
    settings = method(name).Settings(augment="auto")
    decided = augment_trial.decided(job, settings, all_rows(dataset), dataset.schema)
    return decided.added is not None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", default="linear", help="linear,full; full takes an hour")
    methods = parser.parse_args().methods.split(",")
    taught = {
        rows.name: [c.name for c in tasks.get(rows.task).disturbances().values() if c.teaches]
        for rows in map(named, ("English", "Chinese", "digits"))
    }
    said = "; ".join(f"{name}: {', '.join(changes)}" for name, changes in taught.items())
    print(
        f"{TEST} test rows, means over seeds 0, 1, ...; one copy for each row on average, more of "
        f"the rarer labels; changes: {said}. Accuracy in %, log-loss behind it. *Kept* counts the "
        f"seeds in which the trial keeps the copies (it tries up to {augment.FEW:,} rows)."
    )
    print("\n| data | method | rows | without | longer | with copies | gain, points | kept |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for data, name, train, seeds, settings, longer in CASES:
        if name not in methods:
            continue
        begun = time.perf_counter()
        rows = named(data)
        arms = {"without": {**settings, "augment": "off"}}
        if longer:
            arms["longer"] = {**settings, **longer, "augment": "off"}
        arms["with copies"] = {**settings, "augment": taught[data]}
        found: dict[str, list[tuple[float, float]]] = defaultdict(list)
        kept = 0
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as scratch:
                folder = version(Path(scratch) / "data", rows, train, TEST, seed)
                for arm, chosen in arms.items():
                    place = Path(scratch) / arm
                    engine, _ = engine_after(name, folder, place, rows, chosen, seed)
                    found[arm].append(scores(engine, Dataset(folder)))
                    engine.close()
                kept += foreseen(folder, Path(scratch) / "trial", rows, name, seed)
        gains = [
            100 * (b[0] - a[0]) for a, b in zip(found["without"], found["with copies"], strict=True)
        ]
        cells = [_said(found[arm]) for arm in ("without", "longer", "with copies")]
        gain = f"{np.mean(gains):+.1f} ({min(gains):+.1f} to {max(gains):+.1f})"
        print(f"| {data} | {name} | {train:,} | {' | '.join(cells)} | {gain} | {kept} of {seeds} |")
        print(f"{data} {name} {train}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)


def _said(scored: list[tuple[float, float]]) -> str:
    if not scored:
        return "–"
    accuracy, loss = np.mean(scored, axis=0)
    return f"{100 * accuracy:.1f}, {loss:.3f}"


if __name__ == "__main__":
    main()
