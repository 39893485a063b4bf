"""Cascades: the share of calls that never reach the encoder, at equal accuracy.

    python -m benchmarks.evidence.cascades [--method full] [--rows N] [--max-length N]
                                           [--set NAME=VALUE ...] [--seeds N] [--kept FOLDER]

The flagship's reviews: a version learns from the demonstration's training file (4,000 reviews, of
which a tenth each are kept to choose and to judge by), `feilun compress` sets the threshold on its
validation rows, and 1,000 reviews that nothing has seen judge. Speed is that of whole lists on this
machine, both engines in turns. `FOLDER` keeps the workspaces and what was measured: an interrupted
measurement goes on from there, a training from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.evidence._results import interval, once, workplace
from benchmarks.evidence._reviews import Unseen, answering, reviewed, settings_of, trained

from feilun.compression import measure
from feilun.engines.cascade import CascadeEngine
from feilun.metrics.intervals import paired_difference, wilson
from feilun.metrics.scores import Score

HEAD = "[compression]"
LOSSES = (0.0, 0.005, 0.01)
"""Allowed losses that a threshold is set for."""


@dataclass(frozen=True)
class Measured:
    """On the unseen rows: accuracy of the first stage, of the last one and of the cascade, what the
    cascade gains over the last one, the share of rows that the first stage answers, and how many
    times as many answers a second the cascade gives."""

    allowed: float
    first: Score
    last: Score
    cascade: Score
    gain: Score
    kept: Score
    faster: float


def measured(
    folder: Path,
    method: str,
    rows: int | None,
    settings: dict[str, Any],
    seed: int,
    variants: Sequence[str],
) -> list[dict[str, Any] | str]:
    """A line for each allowed loss; in words where no cascade saved enough."""
    with reviewed(folder, rows=rows) as (project, unseen):
        _allow(project.file, LOSSES[0], variants)
        overrides = {"training.seed": seed, "evaluation.robustness": False, **settings}
        version = trained(project, method, overrides)
        found: list[dict[str, Any] | str] = []
        for allowed in LOSSES:
            _allow(project.file, allowed, variants)
            packed = project.compress(version.id)
            if packed.chosen != "cascade":
                found.append(packed.reasons[-1])
                continue
            with closing(answering(project, version.id)) as engine:
                assert isinstance(engine, CascadeEngine)
                found.append(asdict(_judged(engine, unseen, allowed)))
        return found


def _judged(engine: CascadeEngine, unseen: Unseen, allowed: float) -> Measured:
    texts, labels = unseen.texts, unseen.labels
    names = engine.card.schema.labels
    truth = np.array([names.index(label) for label in labels])
    raw, given = engine.levelled(texts)
    first, last = (
        stage.raw(texts).argmax(axis=1) == truth for stage in (engine.stages[0], engine.stages[-1])
    )
    right, kept = raw.argmax(axis=1) == truth, given < len(engine.stages) - 1
    sample = measure.Sample([str(n) for n in range(len(texts))], texts, truth)
    engines = {"last": engine.stages[-1], "cascade": engine}
    speeds = measure.speeds(engines, sample, "last", dict.fromkeys(engines, 0.0))
    count = len(texts)
    return Measured(
        allowed,
        wilson(first.sum(), count),
        wilson(last.sum(), count),
        wilson(right.sum(), count),
        paired_difference(right, last),
        wilson(kept.sum(), count),
        speeds["cascade"].throughput / speeds["last"].throughput,
    )


def _allow(file: Path, loss: float, variants: Sequence[str]) -> None:
    """Sets ``compression.max_loss`` and the variants in the project file."""
    told = [line for line in file.read_text("utf-8").splitlines() if line not in ("", HEAD)]
    lines = [line for line in told if not line.startswith(("max_loss", "variants"))]
    lines += [HEAD, f"max_loss = {loss}", f"variants = {json.dumps(list(variants))}"]
    file.write_text("\n".join(lines) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--method", default="full")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--max-length", type=int)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--variants", default="int8", help="of which the last stage is chosen")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--kept", type=Path, help="folder to go on from")
    asked = parser.parse_args()
    settings: dict[str, Any] = settings_of(asked.settings)
    if asked.max_length:
        settings["task.max_length"] = asked.max_length
    print(
        "| allowed loss, points | linear, % | last stage, % | cascade, % | gain | "
        "never reach the last stage, % | answers a second |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    with workplace(asked.kept) as folder:
        for seed in range(asked.seeds):
            place = folder / f"{asked.method}-{asked.rows}-{seed}"
            given = (asked.rows, settings, seed, asked.variants.split(","))
            measure = partial(measured, place, asked.method, *given)
            lines = once(folder / f"{place.name}.json", measure)
            for line in lines:
                print(_told(line))


def _told(raw: dict[str, Any] | str) -> str:
    if isinstance(raw, str):
        return f"| {raw} |"
    one = {name: Score(**each) for name, each in raw.items() if isinstance(each, dict)}
    cells = [interval(one[name]) for name in ("first", "last", "cascade")]
    cells += [interval(one["gain"], signed=True), interval(one["kept"])]
    return f"| {100 * raw['allowed']:.1f} | {' | '.join(cells)} | {raw['faster']:.1f} × |"


if __name__ == "__main__":
    main()
