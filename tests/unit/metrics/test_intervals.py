"""Intervals of shares and of differences keep their promise, also for few rows."""

from __future__ import annotations

import numpy as np
import pytest

from feilun.metrics import intervals
from feilun.metrics.intervals import (
    paired_difference,
    paired_error,
    paired_risk,
    resampled,
    wilson,
)


def test_wilson_equals_the_textbook() -> None:
    """Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for hits, rows, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        score = wilson(hits, rows)
        assert score.value == pytest.approx(hits / rows)
        assert (score.low, score.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_at_the_ends() -> None:
    assert wilson(0, 10).low == 0
    assert wilson(10, 10).high == 1
    assert wilson(10, 10).low > 0.6
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)


def test_resampling_draws_as_many_rows_each_time() -> None:
    parts = list(resampled(50, 30, seed=4))
    weights = np.concatenate(parts)
    assert weights.shape == (30, 50)
    assert set(weights.sum(axis=1)) == {50}
    np.testing.assert_array_equal(weights, np.concatenate(list(resampled(50, 30, seed=4))))
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.15)


def test_resampling_of_many_rows_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_CHUNK", 800)
    assert [part.shape for part in resampled(300, 5)] == [(2, 300), (2, 300), (1, 300)]
    assert [part.shape for part in resampled(3000, 2)] == [(1, 3000), (1, 3000)]


def test_paired_difference_of_shares() -> None:
    first = np.array([True] * 80 + [False] * 20)
    second = np.array([True] * 70 + [False] * 10 + [False] * 20)
    score = paired_difference(first, second)
    assert score.value == pytest.approx(0.10)
    assert 0.02 < score.low < score.value < score.high < 0.18
    turned = paired_difference(second, first)
    assert (turned.low, turned.high) == pytest.approx((-score.high, -score.low))


def test_no_difference_in_few_rows_proves_little() -> None:
    same = np.ones(30, bool)
    score = paired_difference(same, same)
    assert score.value == 0
    assert score.low < -0.05
    assert score.high > 0.05
    many = np.ones(3000, bool)
    assert paired_difference(many, many).high < 0.002


def test_paired_difference_of_losses() -> None:
    generator = np.random.default_rng(0)
    hard = generator.exponential(size=500)
    first, second = hard + generator.normal(size=500) * 0.1, hard + 0.05
    score = paired_difference(first, second)
    assert score.value == pytest.approx((first - second).mean())
    # Paired: the noise that both share does not widen it.
    assert score.high - score.low == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(500), rel=0.15)
    assert paired_difference(first, second) == score


@pytest.mark.parametrize(
    ("rows", "won", "lost"), [(50, 0.10, 0.06), (200, 0.05, 0.05), (30, 0.02, 0)]
)
def test_the_paired_interval_covers(rows: int, won: float, lost: float) -> None:
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(600):
        kind = generator.random(rows)
        first, second = kind >= lost, (kind < lost) | (kind >= lost + won)
        score = paired_difference(first, second)
        held += score.low <= won - lost <= score.high
    assert held / 600 >= 0.93


def test_risk() -> None:
    first = np.array([True] * 80 + [False] * 20)
    second = np.array([True] * 70 + [False] * 10 + [False] * 20)
    assert paired_risk(first, second) < 0.01
    assert paired_risk(second, first) > 0.99
    assert paired_risk(first, first) == pytest.approx(0.5)
    assert paired_risk(second, first, margin=0.2) < 0.05


@pytest.mark.parametrize(
    ("first", "second"),
    [(np.zeros(0, bool), np.zeros(0, bool)), (np.ones(2, bool), np.ones(3, bool))],
)
def test_rows_must_be_the_same(first: np.ndarray, second: np.ndarray) -> None:
    for function in (paired_difference, paired_error, paired_risk):
        with pytest.raises(ValueError, match="equal length"):
            function(first, second)
