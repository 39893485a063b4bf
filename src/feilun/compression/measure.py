"""How good, how fast and how large a variant is, on validation rows, in bounded time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from feilun.compression.result import Flip, VariantResult
from feilun.engines.base import Engine
from feilun.families.base import Family
from feilun.metrics.comparison import scores
from feilun.metrics.intervals import wilson
from feilun.metrics.scores import Score
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.types import Item

__all__ = [
    "ROWS",
    "Sample",
    "Speed",
    "flips",
    "sample",
    "size_on_disk",
    "speeds",
    "summary",
]

ROWS = 1000
"""Rows that are answered at most. The number must not hang on the clock: it decides the choice."""
_ALONE = 100  # rows answered one at a time at most
_TURN = 0.5  # seconds of the slowest variant in one turn of timing
_LONG = 10.0  # seconds of one pass that is not made again
_DRAWS = 300
_TURNS = 3  # at least, and as many more as fit into one turn of the slowest


@dataclass(frozen=True, slots=True)
class Sample:
    """Labelled rows of a split: their ids, items, and truth as the family holds it."""

    ids: Sequence[str]
    items: Sequence[Item]
    truth: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def thinned(self, rows: int) -> Sample:
        """At most `rows` of them, evenly spread."""
        if rows >= len(self):
            return self
        places = np.linspace(0, len(self) - 1, rows).round().astype(int).tolist()
        return Sample(
            [self.ids[place] for place in places],
            [self.items[place] for place in places],
            self.truth[places],
        )


@dataclass(frozen=True, slots=True)
class Speed:
    """Median milliseconds of one answer at a time, and answers a second of a whole list."""

    latency_ms: float
    throughput: float


def sample(dataset: Dataset, family: Family, most: int) -> Sample:
    """The rows to measure on, at most so many: of validation, or of training where no validation
    row has a target; none where no row has one."""
    for split in ("validation", "train"):
        truth = family.truth(dataset.values("label", split), dataset.schema.labels)
        places = np.flatnonzero(family.known(truth)).tolist()
        if places:
            ids, items = dataset.row_ids(split), dataset.items(split)
            labelled = Sample([ids[p] for p in places], _at(items, places), truth[places])
            return labelled.thinned(most)
    return Sample([], [], np.zeros(0, np.int64))


def speeds(
    engines: Mapping[str, Engine], rows: Sample, slowest: str, taken: Mapping[str, float]
) -> dict[str, Speed]:
    """Every engine timed on the same rows, in turns, the best turn of each counting: whatever else
    the machine does then disturbs all of them alike. `taken` are the seconds that each took for
    all `rows`: where these are long, they are the timing."""
    if not len(rows):
        return {name: Speed(0.0, 0.0) for name in engines}
    if taken[slowest] > _LONG:
        return {
            name: Speed(_latency(engine, rows), len(rows) / taken[name])
            for name, engine in engines.items()
        }
    probe = rows.thinned(64).items
    start = perf_counter()
    engines[slowest].raw(probe)
    rate = len(probe) / (perf_counter() - start)
    part = rows.thinned(max(int(rate * _TURN), len(probe))).items
    best = dict.fromkeys(engines, float("inf"))
    for _ in range(max(_TURNS, int(rate * _TURN / len(part)))):
        for name, engine in engines.items():
            start = perf_counter()
            engine.raw(part)
            best[name] = min(best[name], perf_counter() - start)
    return {
        name: Speed(_latency(engine, rows), len(part) / best[name])
        for name, engine in engines.items()
    }


def flips(
    family: Family,
    ids: Sequence[str],
    expected: np.ndarray,
    got: np.ndarray,
    labels: tuple[str, ...],
) -> tuple[Flip, ...]:
    """Rows that are answered otherwise than by the `expected` raw outputs, the surest first."""
    found = [
        Flip(ids[one.row], one.first, one.second, round(one.sure, 4))
        for one in family.disagreements(expected, got, labels)
    ]
    return tuple(sorted(found, key=lambda flip: (-flip.margin, flip.row_id)))


def summary(
    name: str,
    folder: Path,
    rows: Sample,
    task: TaskBase,
    labels: tuple[str, ...],
    got: np.ndarray,
    expected: np.ndarray,
    speed: Speed,
) -> VariantResult:
    """All figures of a variant that gave `got` where the float gave `expected` (raw outputs)."""
    family, metric = task.family, task.primary
    if not len(rows):  # nothing is known of it but its size
        nothing = Score(0.0, 0.0, 0.0)
        size = size_on_disk(folder)
        return VariantResult(name, metric, nothing, 0.0, 0.0, 0.0, bytes=size, rows=0, flipped=())
    score, wanted = (_score(task, rows, raw, labels) for raw in (got, expected))
    sign = 1 if family.metrics.get(metric, True) else -1
    return VariantResult(
        name=name,
        metric=metric,
        score=score,
        loss=sign * (wanted.value - score.value),
        latency_ms=speed.latency_ms,
        throughput=speed.throughput,
        bytes=size_on_disk(folder),
        rows=len(rows),
        flipped=flips(family, rows.ids, expected, got, labels),
    )


def _score(task: TaskBase, rows: Sample, raw: np.ndarray, labels: tuple[str, ...]) -> Score:
    """The primary metric. Rows that do not define it, a single one for instance, count as nothing
    lost: there is nothing to choose by."""
    family = task.family
    measured = family.measured(rows.truth, raw, labels, family.neutral())
    right = measured.hits(task.primary)
    if right is not None:
        return wilson(int(right.sum()), len(rows))
    return scores(measured, resamples=_DRAWS)[task.primary] or Score(0.0, 0.0, 0.0)


def size_on_disk(folder: Path) -> int:
    """Bytes of all files in `folder`."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _latency(engine: Engine, rows: Sample) -> float:
    times = []
    until = perf_counter() + _TURN
    for item in rows.thinned(_ALONE).items:
        start = perf_counter()
        engine.predict([item])
        times.append(perf_counter() - start)
        if perf_counter() > until:
            break
    return float(np.median(times)) * 1000 if times else 0.0


def _at(items: Sequence[Item], places: Sequence[int]) -> list[Item]:
    return [items[place] for place in places]
