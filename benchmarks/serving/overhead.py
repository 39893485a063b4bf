"""What metering, keys and limits cost, and all that lies around the engine: pairs of runs in turns,
and the interval of the median of their ratios."""

from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.serving.driving import Target, drive
from benchmarks.serving.limits import limit, opened
from benchmarks.serving.servers import Keys, Kind, serving

__all__ = ["ENGINE", "NULLS", "Overhead", "interval", "overheads"]

NULLS: tuple[Kind, ...] = ("null writer", "null", "bare")
ENGINE = "engine"
"""The engine in this process, with as many calls outstanding."""
CLIENTS = 64
_TURN = 4.0
"""Seconds that one server is driven before it is the next one's turn: a machine's speed changes
from minute to minute by more than metering costs."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Share of the calls a second that is lost against something simpler, with its interval."""

    against: str
    pairs: int
    median: float
    low: float
    high: float


def overheads(
    folder: Path,
    keys: Keys,
    variant: Path,
    texts: Sequence[str],
    bodies: Path,
    pairs: int,
    seconds: float,
) -> list[Overhead]:
    """Runs `pairs` rounds of the server and what it is compared with, each for `seconds` in turns
    of `_TURN`, in an order that changes from turn to turn, so that what drifts with time falls on
    all alike."""
    found: dict[str, list[float]] = defaultdict(list)
    ways: dict[str, Callable[[float], float]] = {}
    with ExitStack() as stack:
        for kind in ("feilun", *NULLS):
            server = stack.enter_context(serving(folder, kind))
            ways[kind] = partial(_served, replace(server, key=keys["reviews"]), bodies)
        engine = stack.enter_context(closing(opened(variant)))
        ways[ENGINE] = lambda s: limit(engine, texts, CLIENTS, s)["per_second"]
        for way in ways.values():
            way(min(3.0, seconds))
        turns = max(1, round(seconds / _TURN))
        for _ in range(pairs):
            rates: dict[str, list[float]] = defaultdict(list)
            for number in range(turns):
                order = list(ways)[number % len(ways) :] + list(ways)[: number % len(ways)]
                for name in order if number % 2 else reversed(order):
                    rates[name].append(ways[name](seconds / turns))
            for name, each in rates.items():
                found[name].append(statistics.mean(each))
    return [_overhead(found, name) for name in (*NULLS, ENGINE)]


def _served(target: Target, bodies: Path, seconds: float) -> float:
    return drive(target, CLIENTS, seconds, bodies)["per_second"]


def _overhead(found: Mapping[str, Sequence[float]], against: str) -> Overhead:
    pairs = zip(found["feilun"], found[against], strict=True)
    lost = [1 - ours / theirs for ours, theirs in pairs]
    return Overhead(against, len(lost), statistics.median(lost), *interval(lost))


def interval(values: Sequence[float], resamples: int = 10_000) -> tuple[float, float]:
    """The 95 % interval of the median, by the bootstrap (percentiles)."""
    draw = random.Random(0)
    medians = sorted(
        statistics.median(draw.choices(values, k=len(values))) for _ in range(resamples)
    )
    return medians[math.floor(0.025 * resamples)], medians[math.ceil(0.975 * resamples) - 1]
