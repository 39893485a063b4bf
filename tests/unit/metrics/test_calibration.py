"""Calibration: what is stated against what is true, and the temperature that mends it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from feilun.families.classes.calibration import (
    BINS,
    bin_of,
    bins_for,
    calibration_score,
    fit_temperature,
    reliability,
)
from feilun.families.classes.classification import Classified
from feilun.metrics.comparison import scores
from feilun.metrics.probabilities import log_softmax, softmax


def _logits(rows: int, labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are exactly calibrated at temperature 1, and labels drawn by them."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, labels)) * 2
    steps = softmax(logits).cumsum(axis=1)
    truth = (generator.random(rows)[:, None] > steps).sum(axis=1)
    return logits, np.minimum(truth, labels - 1)


def test_bins_hold_equally_many_rows() -> None:
    place = bin_of(np.random.default_rng(0).random(300))
    assert np.bincount(place).tolist() == [20] * BINS
    confidence = np.sort(np.random.default_rng(0).random(31))
    assert np.all(np.diff(bin_of(confidence, 15)) >= 0)


def test_few_rows_have_fewer_bins() -> None:
    assert [bins_for(rows) for rows in (1, 39, 40, 299, 300, 10**6)] == [1, 1, 2, 14, 15, 15]


def test_equal_confidences_share_a_bin() -> None:
    place = bin_of(np.array([0.9] * 50 + [0.5] * 10), 15)
    assert len(set(place[:50])) == 1
    assert len(set(place[50:])) == 1
    assert place[0] != place[50]


def test_the_error_does_not_depend_on_the_order_of_rows() -> None:
    logits, truth = _logits(200, 3)
    p = np.round(softmax(logits), 1)
    order = np.random.default_rng(0).permutation(200)
    assert calibration_score(truth, p) == calibration_score(truth[order], p[order])


def test_a_known_error() -> None:
    p = np.tile([0.2, 0.8], (100, 1))
    truth = np.array([1] * 50 + [0] * 50)
    assert calibration_score(truth, p).value == pytest.approx(0.3)
    (only,) = reliability(truth, p)
    assert (only.rows, only.stated, only.right) == (100, pytest.approx(0.8), 0.5)


def test_few_rows() -> None:
    assert sum(one.rows for one in reliability(np.array([0, 1]), np.eye(2))) == 2
    assert reliability(np.zeros(0, int), np.zeros((0, 2))) == []


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("labels", [2, 8])
def test_the_temperature_that_was_applied_is_found(factor: float, labels: int) -> None:
    logits, truth = _logits(4000, labels)
    assert fit_temperature(logits * factor, truth) == pytest.approx(factor, rel=0.08)


def test_the_temperature_is_the_best_there_is() -> None:
    logits, truth = _logits(150, 4, seed=3)
    logits *= 2.5

    def loss(temperature: float) -> float:
        return -float(log_softmax(logits, temperature)[np.arange(150), truth].mean())

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8})
    found = fit_temperature(logits, truth)
    assert found == pytest.approx(best.x, rel=1e-4)
    assert loss(found) <= best.fun + 1e-12


def test_temperatures_stay_within_reason() -> None:
    truth = np.array([0, 1, 0, 1])
    right = np.eye(2)[truth] * 3
    assert fit_temperature(right, truth) == pytest.approx(0.05)
    assert fit_temperature(-right, truth) == pytest.approx(20)
    assert fit_temperature(np.zeros((4, 2)), truth) > 0
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, int)) == 1.0


def test_scaling_mends_what_is_stated_not_what_is_answered() -> None:
    logits, truth = _logits(2000, 5)
    sharp = logits * 3
    temperature = fit_temperature(sharp, truth)
    before, after = softmax(sharp), softmax(sharp, temperature)
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    mended, was = calibration_score(truth, after), calibration_score(truth, before)
    assert mended.value < was.value / 3


def test_the_error_of_a_calibrated_model_may_be_nothing() -> None:
    """Chance alone makes the error positive: the interval knows."""
    low = []
    for seed in range(40):
        logits, truth = _logits(300, 3, seed)
        score = calibration_score(truth, softmax(logits))
        assert score.low <= score.value <= score.high
        low.append(score.low)
    assert np.mean(np.array(low) < 0.002) >= 0.95
    logits, truth = _logits(300, 3)
    assert calibration_score(truth, softmax(logits * 4)).low > 0.05
    assert scores(Classified(truth, softmax(logits)))["calibration_error"] == calibration_score(
        truth, softmax(logits)
    )
