"""The flagship: accuracy of a method on 1,000 reviews that nothing saw, over seeds.

    python -m benchmarks.evidence.flagship [--lang en] [--base FOLDER] [--methods full,...]
        [--set NAME=VALUE ...] [--seeds 5] [--rows N] [--kept FOLDER]

Each seed is a project of the demonstration's training file, which divides it as any project does (a
tenth each of its reviews choose and judge), and a run of each method in turn with the settings it
has by itself, but for what ``--set`` says; what combines versions finds those before it. Chinese
encoders need a base that reads it, ``--base``. `FOLDER` keeps workspaces and results: an
interrupted measurement goes on from there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

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
from benchmarks.evidence._reviews import answering, reviewed, settings_of, trained

from feilun.metrics.intervals import wilson

HEAD = ("reviews", "method", "as trained", "interval by rows", "as served", "variant", "seeds")


def measured(folder: Path, method: str, seed: int, asked: argparse.Namespace) -> dict[str, str]:
    """Which unseen rows the version has right as it was trained and as it is served, and the
    variant that is served."""
    with reviewed(folder, asked.lang, asked.rows, asked.base) as (project, unseen):
        overrides = {"training.seed": seed, "evaluation.robustness": False}
        version = trained(project, method, overrides | settings_of(asked.settings))
        found = {"variant": version.variant or ""}
        for name, variant in (("trained", ""), ("served", None)):
            with closing(answering(project, version.id, variant)) as engine:
                found[name] = bits(unseen.right(engine))
        return found


def line(lang: str, method: str, found: Sequence[dict[str, str]]) -> str:
    """The seeds of a method as a row of the table."""
    own, served = (
        np.array([truths([one[name]]).mean() for one in found]) for name in ("trained", "served")
    )
    rows = len(found[0]["trained"])
    cells = [
        lang,
        method,
        over_seeds(100 * own),
        interval(wilson(own.mean() * rows, rows)),
        over_seeds(100 * served),
        ", ".join(dict.fromkeys(one["variant"] for one in found)),
        str(len(found)),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Prints the table with its words."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lang", choices=("en", "zh"), default="en")
    options.add_argument("--base")
    options.add_argument("--methods", default="full")
    options.add_argument("--set", action="append", default=[], dest="settings")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--rows", type=int)
    options.add_argument("--kept", type=Path, help="folder to go on from")
    asked = options.parse_args()
    print(
        "In %, the mean over the seeds with its interval (Student), and the interval that so many "
        "rows leave by themselves (Wilson). *As trained*: the float weights; *as served*: the "
        "variant that was chosen.\n"
    )
    print(f"| {' | '.join(HEAD)} |\n| --- | --- | ---: | ---: | ---: | --- | ---: |")
    with workplace(asked.kept) as kept:
        for method in asked.methods.split(","):
            found = []
            for seed in range(asked.seeds):
                name = name_of(asked.lang, asked.base, asked.rows, *asked.settings, seed)
                measure = partial(measured, kept / name, method, seed, asked)
                found.append(once(kept / f"{name}-{method}.json", measure))
            print(line(asked.lang, method, found), flush=True)


if __name__ == "__main__":
    main()
