"""Thresholds by the costs of errors, and what is left to a person."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from feilun.families.classes.point import Point, decoder
from feilun.families.classes.rule import Rule, best_threshold, cheapest, choose, cutoff_for
from feilun.types import Schema

LABELS = ("bad", "good")


def _calibrated(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that tell the truth, and the truth."""
    random = np.random.default_rng(seed)
    given = random.beta(0.6, 0.6, rows)
    return given, random.random(rows) < given


def _cost(given: np.ndarray, has: np.ndarray, threshold: float, missed: float) -> float:
    says = given >= threshold
    return float((missed * (has & ~says) + (~has & says)).mean())


def test_without_a_rule_the_most_probable_label_is_the_answer() -> None:
    given = np.array([[0.3, 0.7], [0.6, 0.4]])
    answers, sure = choose(given, LABELS, Rule())
    assert answers.tolist() == [1, 0]
    assert sure.tolist() == [0.7, 0.6]


def test_the_threshold_decides() -> None:
    given = np.array([[0.1, 0.9], [0.2, 0.8], [0.05, 0.95]])
    answers, sure = choose(given, LABELS, Rule("bad", 0.1))
    assert answers.tolist() == [0, 0, 1]
    assert sure.tolist() == [0.1, 0.2, 0.95]


def test_below_the_threshold_the_best_of_the_others_is_answered() -> None:
    given = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]])
    answers, sure = choose(given, ("a", "b", "c"), Rule("a", 0.7))
    assert answers.tolist() == [1, 2]
    assert sure.tolist() == [0.3, 0.6]


def test_a_label_that_is_not_there_changes_nothing() -> None:
    given = np.array([[0.4, 0.6]])
    assert choose(given, LABELS, Rule("other", 0.1))[0].tolist() == [1]


def test_true_probabilities_keep_the_textbooks_threshold() -> None:
    for seed in range(10):
        given, has = _calibrated(300, seed)
        assert best_threshold(given, has, 10, 1) == pytest.approx(cheapest(10, 1), abs=0.08)
    assert cheapest(10, 1) == pytest.approx(1 / 11)
    assert best_threshold(np.zeros(0), np.zeros(0, bool), 3, 1) == 0.25


def test_probabilities_that_lie_are_corrected() -> None:
    """A model that says .9 where .5 is true wants another threshold; it is found, and is cheaper on
    rows that did not choose it."""
    given, has = _calibrated(4000)
    lying = given**0.25
    threshold = best_threshold(lying[:2000], has[:2000], 4, 1)
    assert threshold > cheapest(4, 1) + 0.2
    rest, truth = lying[2000:], has[2000:]
    assert _cost(rest, truth, threshold, 4) < 0.8 * _cost(rest, truth, cheapest(4, 1), 4)


def test_equal_probabilities_are_not_divided() -> None:
    given = np.array([0.3] * 50 + [0.6] * 50)
    has = np.array([False] * 50 + [True] * 50)
    assert 0.3 < best_threshold(given, has, 1, 1) <= 0.6


def test_the_cutoff_reaches_the_accuracy_on_other_rows() -> None:
    random = np.random.default_rng(1)
    reached = []
    for _ in range(40):
        sure = 0.5 + random.random(1400) / 2
        right = random.random(1400) < sure
        cutoff = cutoff_for(sure[:400], right[:400], 0.9)
        kept = sure[400:] >= cutoff
        assert kept.any()
        reached.append(right[400:][kept].mean())
    assert np.mean(reached) >= 0.9
    assert np.mean(np.array(reached) < 0.87) <= 0.1


def test_what_cannot_be_reached_leaves_all_to_a_person() -> None:
    assert cutoff_for(np.full(50, 0.8), np.arange(50) % 2 == 0, 0.97) == 1.0


def test_the_task_obeys_the_rule() -> None:
    schema = Schema("text-classification", LABELS)
    logits = np.log(np.array([[0.2, 0.8], [0.04, 0.96], [0.09, 0.91]]))
    rule = Rule("bad", 0.1, abstain_below=0.95)
    outputs: Any = decoder(schema, Point(rule=rule))(logits, True)
    assert [output["label"] for output in outputs] == ["bad", "good", "good"]
    assert outputs[0]["score"] == pytest.approx(0.2)
    assert ["abstained" in output for output in outputs] == [True, False, True]
    assert outputs[2]["scores"]["good"] == pytest.approx(0.91)
