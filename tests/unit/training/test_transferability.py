"""LogME against the evidence computed the long way, and what it has to be able to tell."""

from __future__ import annotations

import numpy as np
import pytest

from feilun.training.transferability import logme


def _brute(F: np.ndarray, y: np.ndarray) -> float:
    """The highest log evidence a row over a grid of both precisions."""
    rows = len(F)
    best = -np.inf
    for alpha in np.exp(np.linspace(-4, 8, 50)):
        for beta in np.exp(np.linspace(-4, 4, 50)):
            covariance = np.eye(rows) / beta + F @ F.T / alpha
            _, log = np.linalg.slogdet(covariance)
            found = rows * np.log(2 * np.pi) + log + y @ np.linalg.solve(covariance, y)
            best = max(best, -0.5 * found / rows)
    return best


@pytest.mark.parametrize(
    "width", [5, 60], ids=["fewer columns than rows", "more columns than rows"]
)
def test_it_is_the_highest_evidence(width: int) -> None:
    draw = np.random.default_rng(0)
    F = draw.normal(size=(40, width))
    labels = (F[:, 0] + 0.5 * draw.normal(size=40) > 0).astype(np.int64)
    wanted = np.mean([_brute(F, (labels == one).astype(float)) for one in (0, 1)])
    assert logme(F, labels) == pytest.approx(wanted, abs=5e-3)
    assert logme(F, labels) >= wanted - 1e-6


def test_what_tells_targets_apart_scores_higher() -> None:
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 3, 200)
    noise = draw.normal(size=(200, 30))
    scores = []
    for strength in (0.0, 1.0, 3.0):
        vectors = noise.copy()
        vectors[:, :3] += strength * np.eye(3)[labels]
        scores.append(logme(vectors, labels))
    assert scores == sorted(scores)
    numbers = noise[:, 0] * 5 + 2
    assert logme(noise, numbers) > logme(noise[:, 1:], numbers)


def test_names_of_classes_and_units_of_numbers_do_not_count() -> None:
    draw = np.random.default_rng(2)
    vectors = draw.normal(size=(80, 10))
    labels = draw.integers(0, 2, 80)
    assert logme(vectors, labels) == pytest.approx(logme(vectors, 1 - labels))
    numbers = vectors[:, 0] + draw.normal(size=80)
    assert logme(vectors, numbers) == pytest.approx(logme(vectors, 1000 * numbers - 7))


def test_rows_have_to_match() -> None:
    with pytest.raises(ValueError, match="3 vectors, 2 targets"):
        logme(np.zeros((3, 2)), np.zeros(2, np.int64))
