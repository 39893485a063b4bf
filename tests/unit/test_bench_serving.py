"""The serving benchmark's arithmetic: intervals, ratios within rounds, targets met and missed."""

from __future__ import annotations

import random

import pytest
from benchmarks.serving.overhead import ENGINE, Overhead, interval
from benchmarks.serving.page import Results, lines
from benchmarks.serving.peers import Peer
from benchmarks.serving.rounds import together


def _run(calls: float, **more: float) -> dict[str, float]:
    return {"per_second": calls, "p50_ms": 10.0, "p99_ms": 30.0, "failed": 0.0, **more}


def _target(told: list[str], begin: str) -> list[str]:
    [row] = [line for line in told if line.startswith(f"| {begin}")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    draw = random.Random(1)
    covered = 0
    for _ in range(200):
        low, high = interval([draw.gauss(0.03, 0.02) for _ in range(11)], resamples=400)
        covered += low <= 0.03 <= high
    assert 180 <= covered <= 200


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that is half as fast in the second round changes no ratio."""
    rounds = [
        {("limit", 64): [_run(1000 * speed)], ("feilun", 64): [_run(850 * speed)]}
        for speed in (1.0, 0.5, 0.7)
    ]
    results = Results(34, 3, together(rounds))
    assert results.ratio("feilun", "limit", 64) == pytest.approx(0.85)
    assert _target(list(lines(results)), "calls/s at 64")[1:] == ["≥ 0.8", "0.85", "met"]
    finer = Results(34, 3, together(rounds), (), [Overhead(ENGINE, 10, 0.22, 0.2, 0.24)])
    assert _target(list(lines(finer)), "calls/s at 64")[2:] == ["0.78", "**missed**"]


def test_what_is_missed_and_what_was_not_measured_is_said() -> None:
    found = {
        ("alone", 1): [{"ms": 1.0}],
        ("feilun", 1): [_run(200, p50_ms=2.6)],
        ("feilun", 16): [_run(500)],
        ("feilun", 64): [_run(900)],
        ("flask_torch", 16): [_run(100)],
        ("flask_torch", 64): [_run(80)],
    }
    out = Peer("ray_torch", "Ray Serve", [], out="could not be installed: no such package")
    weighed = [Overhead("null", 10, 0.02, 0.01, 0.049)]
    told = list(
        lines(Results(34, 1, found, [Peer("flask_torch", "Flask + torch", []), out], weighed))
    )
    assert _target(told, "one client")[2:] == ["2.60", "**missed**"]
    assert _target(told, "16 clients")[2:] == ["3.00", "met"]
    assert _target(told, "as many calls as Flask")[2:] == ["9.00", "**missed**"]
    assert _target(told, "as many calls as Ray")[2:] == ["–", out.out]
    assert _target(told, "metering")[2:] == ["0.05", "met"]
    assert _target(told, "pictures/s")[3] == "not measured"
