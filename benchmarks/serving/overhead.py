"""What metering, keys and limits cost: pairs of runs in turns, and the interval of the median of
their ratios."""

from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.serving.driving import drive
from benchmarks.serving.servers import Keys, Kind, serving

__all__ = ["NULLS", "Overhead", "interval", "overheads"]

NULLS: tuple[Kind, ...] = ("null writer", "null", "bare")
CLIENTS = 64
_TURN = 4.0
"""Seconds that one server is driven before it is the next one's turn: a machine's speed changes
from minute to minute by more than metering costs."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Share of the calls a second that is lost against a server without, with its interval."""

    against: str
    pairs: int
    median: float
    low: float
    high: float


def overheads(folder: Path, keys: Keys, pairs: int, seconds: float, bodies: Path) -> list[Overhead]:
    """Runs `pairs` rounds of the four servers, each for `seconds` in turns of `_TURN`, in an order
    that changes from turn to turn, so that what drifts with time falls on all alike."""
    found: dict[Kind, list[float]] = defaultdict(list)
    order: list[Kind] = ["feilun", *NULLS]
    with ExitStack() as stack:
        servers = {
            kind: replace(stack.enter_context(serving(folder, kind)), key=keys["reviews"])
            for kind in order
        }
        for target in servers.values():
            drive(target, CLIENTS, min(3.0, seconds), bodies)
        turns = max(1, round(seconds / _TURN))
        for _ in range(pairs):
            calls: dict[Kind, list[float]] = defaultdict(list)
            for number in range(turns):
                turn = order[number % 4 :] + order[: number % 4]
                for kind in turn if number % 2 else reversed(turn):
                    result = drive(servers[kind], CLIENTS, seconds / turns, bodies)
                    calls[kind].append(result["per_second"])
            for kind, rates in calls.items():
                found[kind].append(statistics.mean(rates))
    return [_overhead(found, null) for null in NULLS]


def _overhead(found: Mapping[Kind, Sequence[float]], null: Kind) -> Overhead:
    pairs = zip(found["feilun"], found[null], strict=True)
    lost = [1 - ours / theirs for ours, theirs in pairs]
    return Overhead(null, len(lost), statistics.median(lost), *interval(lost))


def interval(values: Sequence[float], resamples: int = 10_000) -> tuple[float, float]:
    """The 95 % interval of the median, by the bootstrap (percentiles)."""
    draw = random.Random(0)
    medians = sorted(
        statistics.median(draw.choices(values, k=len(values))) for _ in range(resamples)
    )
    return medians[math.floor(0.025 * resamples)], medians[math.ceil(0.975 * resamples) - 1]
