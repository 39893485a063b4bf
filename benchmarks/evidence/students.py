"""Students: a network of half the layers beside its teacher, in accuracy and processor time.

    python -m benchmarks.evidence.students [--lang en] [--base FOLDER] [--layers N]
        [--set NAME=VALUE ...] [--seeds 3] [--rows N] [--kept FOLDER]

Each seed is a project of the demonstration's reviews: `full` teaches, `distil` learns from it, and
both are exported in float and in whole numbers. 1,000 reviews that nothing saw judge all four. The
seconds are those of the processor for the same reviews, the four engines in turns in one process.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.evidence._results import (
    bits,
    interval,
    name_of,
    once,
    over_seeds,
    truths,
    workplace,
)
from benchmarks.evidence._reviews import Unseen, reviewed, settings_of, trained

from feilun.compression.compress import compress
from feilun.engines.base import Engine, open_engine
from feilun.metrics.intervals import paired_difference
from feilun.project import Project
from feilun.store.records import ModelVersion

METHODS = {"teacher": "full", "student": "distil"}
VARIANTS = ("fp32", "int8")
HEAD = ("", "accuracy", "beside the teacher in float", "times as fast", "than in the same numbers")
TURNS = 3


def measured(folder: Path, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Of each engine which unseen rows it has `right` and its `seconds` for them."""
    with ExitStack() as at:
        opened = reviewed(folder, asked.lang, asked.rows, asked.base)
        project, unseen = at.enter_context(opened)
        overrides = {
            "training.seed": seed,
            "evaluation.robustness": False,
            "training.distil.layers": asked.layers,
            **settings_of(asked.settings),
        }
        engines = {}
        for who, method in METHODS.items():
            version = trained(project, method, overrides)
            for variant, made in exported(project, version, folder / who).items():
                engines[f"{who} {variant}"] = at.enter_context(closing(open_engine(made)))
        right = {name: bits(unseen.right(engine)) for name, engine in engines.items()}
        return {"right": right, "seconds": processor_seconds(engines, unseen)}


def exported(project: Project, version: ModelVersion, out: Path) -> dict[str, Path]:
    """Each of `VARIANTS` of a version in a folder, whatever it loses."""
    context = project.scope.context()
    made = {variant: out / variant for variant in VARIANTS}
    if not all(one.is_dir() for one in made.values()):
        shutil.rmtree(out, ignore_errors=True)
        data = context.dataset(context.data_of(version)).folder
        wanted = context.config.compression.model_copy(update={"variants": VARIANTS})
        compress(context.folder(version, ""), data, out, wanted, lambda progress: None)
    return made


def processor_seconds(engines: Mapping[str, Engine], rows: Unseen) -> dict[str, float]:
    """What each takes to answer a fifth of the rows, the least of some turns."""
    part = rows.texts[: max(1, len(rows.texts) // 5)]
    least = dict.fromkeys(engines, float("inf"))
    for _ in range(TURNS):
        for name, engine in engines.items():
            begun = time.process_time()
            engine.raw(part)
            least[name] = min(least[name], time.process_time() - begun)
    return least


def lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """The engines as rows of a table, each over the seeds."""
    told = []
    teacher = truths([one["right"]["teacher fp32"] for one in found])
    for name in found[0]["right"]:
        own = truths([one["right"][name] for one in found])
        cells = [name, over_seeds([100 * truths([one["right"][name]]).mean() for one in found])]
        cells.append(interval(paired_difference(own, teacher), signed=True))
        for beside in ("teacher fp32", f"teacher {name.split()[1]}"):
            ratios = [one["seconds"][beside] / one["seconds"][name] for one in found]
            cells.append(f"{np.mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        told.append(f"| {' | '.join(cells)} |")
    return told


def main() -> None:
    """Prints the table with its words."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lang", choices=("en", "zh"), default="en")
    options.add_argument("--base")
    options.add_argument("--layers", type=int, help="of the student; half of the teacher's")
    options.add_argument("--set", action="append", default=[], dest="settings")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--rows", type=int)
    options.add_argument("--kept", type=Path, help="folder to go on from")
    asked = options.parse_args()
    with workplace(asked.kept) as kept:
        found = []
        for seed in range(asked.seeds):
            name = name_of(asked.lang, asked.base, asked.rows, asked.layers, *asked.settings, seed)
            found.append(once(kept / f"{name}.json", partial(measured, kept / name, seed, asked)))
    print(
        f"{asked.seeds} seeds. Accuracy in %, the mean over the seeds with its interval; the "
        "difference in points, paired row by row on the mean of the seeds; times as fast by "
        "seconds of the processor, the mean with the least and the largest.\n"
    )
    print(f"| {' | '.join(HEAD)} |\n| --- | ---: | ---: | ---: | ---: |")
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
