"""Robustness: what versions lose when the same rows come less clean.

    python -m benchmarks.evidence.robustness [--methods linear,full]

Each version answers its test rows as they are and once for every change that is safe for the task;
the difference counts the rows that the change touches.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.evidence._few import Rows, engine_after, named, version

from feilun.evaluation.robustness import Robustness, robustness
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks

SEED = 0
TEST = 600
CASES: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("English", "linear", 2400, {}),
    ("English", "full", 2400, {"epochs": 2, "augment": "off"}),
    ("Chinese", "linear", 2400, {}),
    ("Chinese", "linear", 2400, {"augment": ["script"]}),
    ("digits", "linear", 600, {"augment": "off"}),
    ("digits", "linear", 600, {"augment": ["light", "rotation", "crop"]}),
    ("digits", "full", 600, {"epochs": 12, "augment": "off"}),
)


def measure(
    rows: Rows, name: str, train: int, settings: dict[str, Any]
) -> tuple[Robustness, float]:
    """The drops of one version, and the seconds that asking took."""
    with tempfile.TemporaryDirectory() as scratch:
        data = version(Path(scratch) / "data", rows, train, TEST, SEED)
        engine, _ = engine_after(name, data, Path(scratch), rows, settings, SEED)
        dataset = Dataset(data)
        items, targets = dataset.items("test"), dataset.values("label", "test")
        task = tasks.get(rows.task)
        before = engine.predict(items)
        begun = time.perf_counter()
        found = robustness(
            engine.predict,
            items,
            targets,
            before,
            task.family,
            task.disturbances(),
            limit=TEST,
            seed=SEED,
        )
        seconds = time.perf_counter() - begun
        engine.close()
    assert found is not None
    return found, seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", default="linear,full")
    methods = parser.parse_args().methods.split(",")
    print(
        f"Test rows {TEST}, seed {SEED}. Each cell: difference in accuracy in points with its 95 % "
        "interval, paired, over the rows that the change touches, and their number. Full training "
        "is short here (two epochs from `minilm`, twelve from nothing); the float version answers."
    )
    done = []
    for data, name, train, settings in (case for case in CASES if case[1] in methods):
        begun = time.perf_counter()
        found, seconds = measure(named(data), name, train, settings)
        done.append((data, name, train, settings, found, seconds))
        print(f"{data} {name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    for task in ("texts", "pictures"):
        picked = [one for one in done if (one[0] == "digits") == (task == "pictures")]
        if picked:
            _table(picked)


def _table(done: list[tuple[str, str, int, dict[str, Any], Robustness, float]]) -> None:
    names = list(dict.fromkeys(fall.name for *_, found, _ in done for fall in found.falls))
    heads = []
    for data, name, train, settings, _, _ in done:
        copies = settings.get("augment")
        taught = f" with copies ({', '.join(copies)})" if isinstance(copies, list) else ""
        heads.append(f"{data} {name}{taught}, {train:,} rows")
    print("\n| change | " + " | ".join(heads) + " |")
    print("| --- |" + " ---: |" * len(heads))
    clean = [f"{100 * _accuracy(one[4]):.1f} %" for one in done]
    print("| as they are | " + " | ".join(clean) + " |")
    for change in names:
        cells = []
        for *_, found, _ in done:
            fall = next((one for one in found.falls if one.name == change), None)
            if fall is None:
                cells.append("–")
                continue
            value, low, high = (
                100 * x for x in (fall.change.value, fall.change.low, fall.change.high)
            )
            cells.append(f"{value:+.1f} ({low:+.1f} to {high:+.1f}), {fall.rows}")
        print(f"| {change} | " + " | ".join(cells) + " |")
    times = [f"{one[5]:.1f} s" for one in done]
    print("| asking again took | " + " | ".join(times) + " |")


def _accuracy(found: Robustness) -> float:
    return max(found.falls, key=lambda one: one.rows).before.value


if __name__ == "__main__":
    main()
