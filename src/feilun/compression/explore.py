"""The frontier of a project: accuracy against cost, over the variants of all its versions and over
the cascades that they make.

All are measured on the same held-out rows, in turns. What another one beats in both is off the
frontier. The cheapest that loses no more than allowed against the most accurate one is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from feilun.compression import cascade, measure
from feilun.compression.cascade import Stage
from feilun.compression.measure import Sample
from feilun.config import ProjectConfig
from feilun.engines.base import Engine, open_engine
from feilun.engines.card import read_card
from feilun.engines.cascade import Level
from feilun.errors import CorruptArtifact
from feilun.messages.sentences import to_kept
from feilun.metrics.comparison import gains, scores
from feilun.metrics.scores import Score
from feilun.tasks import base as tasks

__all__ = ["Candidate", "Explored", "Point", "explore", "frontier"]

_CASCADES = 6  # that are built and measured at most
_ENERGY = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
_DRAWS = 300


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may answer: an engine's `folder`, and the version and variant that it is."""

    version: str
    method: str
    variant: str
    folder: Path

    @property
    def name(self) -> str:
        """``reviews@2 int8``; the variant alone says nothing where it is called like the method."""
        return self.version if self.variant == self.method else f"{self.version} {self.variant}"


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate measured: its score, what it loses against the most accurate one (below 0:
    gains), answers a second, milliseconds of one answer, cost of 1,000 answers, bytes, and joules
    of 1,000 answers where the machine counts them. `note` tells a cascade in words; `frontier`
    that no other is both better and cheaper."""

    name: str
    version: str
    variant: str
    score: Score
    loss: Score
    throughput: float
    latency_ms: float
    cost: float
    bytes: int
    joules: float | None = None
    note: str = ""
    frontier: bool = False
    chosen: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        raw = {name: getattr(self, name) for name in self.__slots__}
        raw["note"] = to_kept(self.note)
        for name in ("score", "loss"):
            one: Score = raw[name]
            raw[name] = {"value": one.value, "low": one.low, "high": one.high}
        return raw


@dataclass(frozen=True, slots=True)
class Explored:
    """All points, the cheapest first, measured on so many `rows` by `metric`. `folder` is that of
    the chosen one, `settled` whether it is a cascade, whose operating point is set already."""

    metric: str
    rows: int
    points: tuple[Point, ...]
    folder: Path
    settled: bool

    @property
    def chosen(self) -> Point:
        """The one that is to answer."""
        return next(point for point in self.points if point.chosen)


def explore(
    candidates: Sequence[Candidate],
    rows: Sample,
    out: Path,
    config: ProjectConfig,
    tick: Callable[[float, str], None],
) -> Explored:
    """Measures all `candidates` and the cascades of them, which are built in `out`. `tick` hears
    the share that is done, and what is being measured."""
    per_second = config.serving.machine_per_hour / 3600
    schema = read_card(candidates[0].folder).schema
    task = tasks.of(schema)
    answers: dict[str, np.ndarray] = {}
    known: dict[str, Candidate] = {}
    with ExitStack() as opened:
        engines: dict[str, Engine] = {}
        taken: dict[str, float] = {}

        def add(candidate: Candidate) -> None:
            engine = opened.enter_context(closing(open_engine(candidate.folder)))
            start = perf_counter()
            try:
                answers[candidate.name] = engine.raw(rows.items)
            except CorruptArtifact:  # answers that are not finite
                return
            taken[candidate.name] = perf_counter() - start
            engines[candidate.name], known[candidate.name] = engine, candidate

        for place, candidate in enumerate(candidates):
            tick(0.5 * place / len(candidates), candidate.name)
            add(candidate)
        slowest = max(taken, key=lambda name: taken[name])
        speeds = measure.speeds(engines, rows, slowest, taken)
        notes: dict[str, str] = {}
        settled = {
            name: task.family.settled(answers[name], schema, engines[name].card.point)
            for name in answers
        }
        rates = {name: speed.throughput for name, speed in speeds.items()}
        made = _cascades(known, answers, rates, rows, config, out)
        for place, (candidate, fitted) in enumerate(made):
            tick(0.5 + 0.4 * place / len(made), candidate.name)
            add(candidate)
            settled[candidate.name] = answers[candidate.name]
            notes[candidate.name] = cascade.told(fitted, task.primary, len(rows))
        speeds = measure.speeds(engines, rows, slowest, taken)
        joules = {name: _joules(engine, rows) for name, engine in engines.items()}
    family, metric = task.family, task.primary
    measured = {
        name: family.measured(rows.truth, raw, schema.labels, family.neutral())
        for name, raw in settled.items()
    }
    level = {
        name: scores(one, resamples=_DRAWS)[metric] or Score(0.0, 0.0, 0.0)
        for name, one in measured.items()
    }
    sign = 1 if family.metrics.get(metric, True) else -1
    best = max(level, key=lambda name: (sign * level[name].value, speeds[name].throughput))
    points = []
    for name, candidate in known.items():
        gain = gains(measured[name], measured[best], resamples=_DRAWS).get(metric)
        loss = Score(0.0 - gain.value, 0.0 - gain.high, 0.0 - gain.low) if gain else level[name]
        speed = speeds[name]
        points.append(
            Point(
                name,
                candidate.version,
                candidate.variant,
                level[name],
                loss,
                speed.throughput,
                speed.latency_ms,
                1000 * per_second / speed.throughput if speed.throughput else 0.0,
                measure.size_on_disk(candidate.folder),
                joules[name],
                notes.get(name, ""),
            )
        )
    found = frontier(points, config.compression.max_loss)
    chosen = next(point for point in found if point.chosen)
    tick(1.0, chosen.name)
    return Explored(
        metric, len(rows), tuple(found), known[chosen.name].folder, chosen.name in notes
    )


def frontier(points: Sequence[Point], max_loss: float) -> list[Point]:
    """The points, the cheapest first, with those marked that no other beats in loss and in
    throughput, and the cheapest of them that loses at most `max_loss`."""
    ordered = sorted(points, key=lambda one: (-one.throughput, one.loss.value, one.name))
    least, result, chosen = np.inf, [], False
    for one in ordered:
        ahead = one.loss.value < least
        least = min(least, one.loss.value)
        takes = ahead and not chosen and one.loss.value <= max_loss + 1e-9
        chosen = chosen or takes
        result.append(replace(one, frontier=ahead, chosen=takes))
    return result


def _cascades(
    known: Mapping[str, Candidate],
    answers: Mapping[str, np.ndarray],
    rates: Mapping[str, float],
    rows: Sample,
    config: ProjectConfig,
    out: Path,
) -> list[tuple[Candidate, cascade.Fitted]]:
    """The cascades that save most, built in `out`: of any two candidates of different versions, the
    faster one first, held against the slower one's own answers."""
    first = next(iter(known.values()))
    schema = read_card(first.folder).schema
    family = tasks.of(schema).family
    if family.uncascaded() is not None or len(rows) < cascade.LEAST_ROWS:
        return []
    stages = {
        name: Stage(Level(one.method, one.version, one.variant), one.folder, rates[name])
        for name, one in known.items()
    }
    found: list[tuple[float, str, str, cascade.Fitted]] = []
    for cheap, one in stages.items():
        for dear, last in stages.items():
            worth = one.throughput * (1 - cascade.SAVES) > last.throughput
            if not worth or one.level.version == last.level.version:
                continue
            fitted = cascade.fit(
                [one.level, last.level],
                [answers[cheap], answers[dear]],
                rows.truth,
                schema,
                answers[dear],
                config.compression.max_loss,
                config,
            )
            saving = cascade.saved(fitted, [one, last]) if fitted else 0.0
            if fitted and saving >= cascade.SAVES:
                found.append((saving, cheap, dear, fitted))
    found.sort(key=lambda one: (-one[0], one[1], one[2]))
    made = []
    for number, (_, cheap, dear, fitted) in enumerate(found[:_CASCADES]):
        folder = out / f"cascade-{number}"
        cascade.write(fitted, [stages[cheap], stages[dear]], folder)
        last_one = known[dear]
        variant = f"cascade {known[cheap].method} → {last_one.variant}"
        made.append((Candidate(last_one.version, last_one.method, variant, folder), fitted))
    return made


def _joules(engine: Engine, rows: Sample) -> float | None:
    """Joules of the whole processor while the engine answers 1,000 such rows; None where it does
    not count them, or may not be read."""
    part = rows.thinned(200).items
    before = _counter()
    if before is None or not len(part):
        return None
    engine.raw(part)
    after = _counter()
    if after is None or after < before:  # the counter began anew
        return None
    return (after - before) / 1e6 / len(part) * 1000


def _counter() -> int | None:
    try:
        return int(_ENERGY.read_text())
    except (OSError, ValueError):
        return None
