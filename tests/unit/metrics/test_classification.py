"""Scores equal scikit-learn's, and their intervals hold what they promise."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn import metrics as theirs

from feilun.families.classes.classification import Classified, class_scores, confusion
from feilun.metrics.auc import area
from feilun.metrics.comparison import gains, scores, values
from feilun.metrics.intervals import resampled
from feilun.metrics.probabilities import log_softmax, softmax

METRICS = tuple(Classified.higher_is_better)


def _rows(
    rows: int, labels: int, seed: int = 0, skill: float = 1.5
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, labels)) * 1.5
    truth = generator.integers(0, labels, rows)
    logits[np.arange(rows), truth] += skill
    return truth, softmax(logits)


@pytest.mark.parametrize(("rows", "labels"), [(500, 2), (400, 7), (60, 40), (12, 2)])
def test_values_equal_scikit_learn(rows: int, labels: int) -> None:
    truth, p = _rows(rows, labels)
    answers = p.argmax(axis=1)
    found = values(Classified(truth, p))
    assert tuple(found) == METRICS
    assert found["accuracy"] == pytest.approx(theirs.accuracy_score(truth, answers))
    precision, recall, f1, _ = theirs.precision_recall_fscore_support(
        truth, answers, average="macro", zero_division=0
    )
    assert found["precision"] == pytest.approx(precision)
    assert found["recall"] == pytest.approx(recall)
    assert found["f1"] == pytest.approx(f1)
    log_loss = theirs.log_loss(truth, p, labels=range(labels))
    assert found["log_loss"] == pytest.approx(log_loss)
    present = np.unique(truth)
    if labels == 2:
        expected = theirs.roc_auc_score(truth, p[:, 1])
    else:
        expected = np.mean([theirs.roc_auc_score(truth == k, p[:, k]) for k in present])
    assert found["roc_auc"] == pytest.approx(expected)


def test_label_scores_equal_scikit_learn() -> None:
    truth, p = _rows(300, 5)
    answers = p.argmax(axis=1)
    expected = theirs.precision_recall_fscore_support(truth, answers)
    for index, one in enumerate(class_scores(truth, answers, 5)):
        found = (one.precision, one.recall, one.f1)
        for score, wanted in zip(found, expected, strict=False):
            assert score is not None
            assert score.value == pytest.approx(wanted[index])
            assert score.low <= score.value <= score.high
        assert one.rows == expected[3][index]


def test_labels_without_rows_have_no_scores() -> None:
    first, second, third = class_scores(np.array([0, 0]), np.array([0, 1]), 3)
    assert first.recall is not None
    assert first.recall.value == 0.5
    assert second.recall is None
    assert second.precision is not None
    assert second.f1 is not None
    assert third == type(third)(0, 0, 0, None, None, None)


def test_confusion() -> None:
    truth, p = _rows(200, 4)
    answers = p.argmax(axis=1)
    np.testing.assert_array_equal(
        confusion(truth, answers, 4), theirs.confusion_matrix(truth, answers)
    )
    assert confusion(np.array([0]), np.array([0]), 3).shape == (3, 3)


def test_roc_auc_of_one_class_is_none() -> None:
    p = np.array([[0.6, 0.4], [0.3, 0.7]])
    found = scores(Classified(np.array([1, 1]), p))
    assert found["roc_auc"] is None
    assert found["accuracy"] is not None
    assert "roc_auc" not in gains(Classified(np.array([1, 1]), p), Classified(np.array([1, 1]), p))
    assert area(np.array([True, True]), np.array([0.1, 0.2])) is None


def test_ties_count_half() -> None:
    found = area(np.array([True, False, True, False]), np.array([1.0, 1.0, 2.0, 0.0]))
    assert found is not None
    assert found[0] == pytest.approx(0.875)


def test_the_influence_is_delongs() -> None:
    """Its variance is what resampling the rows gives."""
    truth, p = _rows(300, 2)
    found = area(truth == 1, p[:, 1])
    assert found is not None
    _, influence = found
    assert influence.mean() == pytest.approx(0, abs=1e-12)
    generator = np.random.default_rng(5)
    draws = []
    for _ in range(300):
        rows = generator.integers(0, 300, 300)
        drawn = area(truth[rows] == 1, p[rows, 1])
        assert drawn is not None
        draws.append(drawn[0])
    spread = np.sqrt((influence**2).mean() / 300)
    assert spread == pytest.approx(np.std(draws), rel=0.15)


def test_weighted_scores_are_scores_of_the_repeated_rows() -> None:
    """What the bootstrap does at once equals scoring each resample on its own, for the metrics
    that are sums (ROC-AUC is resampled by influence, and bins stay where they were)."""
    truth, p = _rows(80, 4)
    model = Classified(truth, p)
    (weights,) = resampled(80, 6, seed=3)
    found = model.replicates(weights)
    for index, counts in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(80), counts)
        one = values(Classified(truth[rows], p[rows]))
        for name in ("accuracy", "precision", "recall", "f1", "log_loss"):
            assert found[name][index] == pytest.approx(one[name], rel=1e-5), name


def test_intervals_hold_their_value_and_repeat() -> None:
    truth, p = _rows(200, 3)
    first, again = scores(Classified(truth, p)), scores(Classified(truth, p))
    assert first == again
    assert scores(Classified(truth, p), seed=1) != first
    wide = scores(Classified(truth, p), confidence=0.99)
    for name, score in first.items():
        assert score is not None
        assert score.low <= score.value < score.high
        other = wide[name]
        assert other is not None
        assert other.low <= score.low
        assert other.high > score.high


def test_a_perfect_model_is_not_certain() -> None:
    """Twenty right answers of twenty do not prove that all are."""
    truth = np.tile([0, 1], 10)
    p = np.eye(2)[truth] * 0.9 + 0.05
    for name in ("accuracy", "precision", "recall", "f1", "roc_auc"):
        score = scores(Classified(truth, p))[name]
        assert score is not None
        assert score.value == score.high == 1
        assert 0.6 < score.low < 0.95


def test_gains() -> None:
    truth, good = _rows(400, 3, skill=2.5)
    poor = softmax(np.log(good) + np.random.default_rng(8).normal(size=good.shape) * 2)
    found = gains(Classified(truth, good), Classified(truth, poor))
    assert tuple(found) == METRICS
    better = values(Classified(truth, good))
    worse = values(Classified(truth, poor))
    for name in ("accuracy", "f1", "roc_auc", "log_loss"):
        assert found[name].low > 0, name
    assert found["accuracy"].value == pytest.approx(better["accuracy"] - worse["accuracy"])  # type: ignore[operator]
    assert found["log_loss"].value == pytest.approx(worse["log_loss"] - better["log_loss"])  # type: ignore[operator]
    same = gains(Classified(truth, good), Classified(truth, good))
    # That no row of 400 differs does not prove that none ever will: the share keeps a width.
    share = same.pop("accuracy")
    assert -0.02 < share.low < share.value == 0 < share.high < 0.02
    assert all(score.value == score.low == score.high == 0 for score in same.values())


@pytest.mark.parametrize(
    ("truth", "p"),
    [
        (np.array([], int), np.zeros((0, 2))),
        (np.array([0, 2]), np.ones((2, 2)) / 2),
        (np.array([0, -1]), np.ones((2, 2)) / 2),
        (np.array([0]), np.ones((2, 2)) / 2),
        (np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, 1]])),
    ],
)
def test_what_cannot_be_scored(truth: np.ndarray, p: np.ndarray) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        scores(Classified(truth, p))


def test_a_probability_of_zero_does_not_break_the_loss() -> None:
    found = values(Classified(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]])))
    assert found["log_loss"] == pytest.approx(-np.log(1e-15) / 2)


@pytest.mark.slow
def test_thousand_resamples_of_thousand_rows_are_quick() -> None:
    truth, p = _rows(1000, 10)
    start = time.process_time()
    scores(Classified(truth, p))
    assert time.process_time() - start < 1.5


def test_thousands_of_labels() -> None:
    truth, p = _rows(200, 3000)
    found = scores(Classified(truth, p), resamples=200)
    class_scores(truth, p.argmax(axis=1), 3000)
    assert all(score is not None for score in found.values())


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    """Of 300 samples of 100 rows, about 95 % of the intervals hold what all rows say."""
    truth, p = _rows(60_000, 3, seed=2)
    actual = values(Classified(truth, p))
    held = dict.fromkeys(METRICS, 0)
    for sample in range(300):
        rows = np.random.default_rng(sample).integers(0, len(truth), 100)
        for name, score in scores(
            Classified(truth[rows], p[rows]), resamples=200, seed=sample
        ).items():
            value = actual[name]
            assert score is not None
            assert value is not None
            held[name] += score.low <= value <= score.high
    assert min(held.values()) >= 300 * 0.91, held


def test_softmax() -> None:
    logits = np.array([[1e4, 0, -1e4], [0.1, 0.2, 0.3]], np.float32)
    p = softmax(logits, 2.0)
    assert p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(log_softmax(logits, 2.0)[1], np.log(p[1]))
    assert log_softmax(logits)[0, 2] == -2e4
