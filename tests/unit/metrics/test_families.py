"""Scores of every family equal scikit-learn's, and weighting a row is repeating it."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from benchmarks.evidence.families import FAMILIES, passed
from sklearn import metrics as theirs

from feilun.families.classes.binary import classified
from feilun.families.classes.classification import Classified
from feilun.metrics.comparison import gains, judge, scores, values
from feilun.metrics.intervals import resampled
from feilun.metrics.measured import Measured
from feilun.metrics.numbers import Numbers
from feilun.metrics.ranking import Ranking
from feilun.metrics.spans import Span, Spans
from feilun.modalities.text import sequence
from helpers.few import few

ROWS = 60


def _numbers(rows: list[int], seed: int = 0) -> Numbers:
    generator = np.random.default_rng(seed)
    truth = np.random.default_rng(9).normal(1000, 3, ROWS)
    predicted = truth + generator.normal(0, 1.5, ROWS)
    return Numbers(truth[rows], predicted[rows], predicted[rows] - 2, predicted[rows] + 2)


def _spans(rows: list[int], seed: int = 0) -> Spans:
    generator, fixed = np.random.default_rng(seed), np.random.default_rng(9)
    truth: list[list[Span]] = []
    found: list[list[Span]] = []
    for _ in range(ROWS):
        true = [(9 * i, 9 * i + 3, "ABC"[i % 3]) for i in range(int(fixed.integers(0, 5)))]
        truth.append(true)
        found.append([(s, e + int(generator.random() < 0.3), t) for s, e, t in true])
    return Spans([truth[i] for i in rows], [found[i] for i in rows])


def _ranking(rows: list[int], seed: int = 0) -> Ranking:
    generator, fixed = np.random.default_rng(seed), np.random.default_rng(9)
    relevant = [set(fixed.choice(120, 3, replace=False).tolist()) for _ in range(ROWS)]
    ranked = [generator.permutation(120).tolist() for _ in range(ROWS)]
    return Ranking([relevant[i] for i in rows], [ranked[i] for i in rows], catalogue=130)


def _classes(rows: list[int], seed: int = 0) -> Classified:
    truth = np.random.default_rng(9).integers(0, 3, ROWS)
    p = np.random.default_rng(seed).dirichlet((1, 1, 1), ROWS)
    return Classified(truth[rows], p[rows])


def _two_classes(rows: list[int], seed: int = 0) -> Classified:
    truth = np.random.default_rng(9).integers(0, 2, ROWS)
    p = np.random.default_rng(seed).dirichlet((1, 1), ROWS).round(2)  # some are equal
    return classified(truth[rows], p[rows])


MAKERS: dict[str, Callable[..., Measured]] = {
    "numbers": _numbers,
    "spans": _spans,
    "ranking": _ranking,
    "classes": _classes,
    "two classes": _two_classes,
}
# Bins of calibration stay where they were, and areas are resampled by influence.
APPROXIMATE = {"calibration_error", "roc_auc"}
every_family = pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))


@every_family
def test_a_weighted_row_is_a_repeated_row(make: Callable[..., Measured]) -> None:
    measured = make(list(range(ROWS)))
    (weights,) = resampled(ROWS, 5, seed=3)
    found = measured.replicates(weights)
    assert tuple(found) == tuple(measured.higher_is_better)
    for draw, counts in enumerate(weights.astype(int)):
        again = values(make(np.repeat(np.arange(ROWS), counts).tolist()))
        for name in set(found) - APPROXIMATE:
            assert found[name][draw] == pytest.approx(again[name], rel=1e-5), name


@every_family
def test_scores_lie_in_their_intervals_and_a_part_is_scored_alone(
    make: Callable[..., Measured],
) -> None:
    whole = make(list(range(ROWS)))
    for score in scores(whole, resamples=200).values():
        assert score is not None
        assert score.low <= score.value <= score.high
        assert score.high > score.low
    part = np.arange(ROWS) % 3 == 0
    assert values(whole.take(part)) == values(make(np.flatnonzero(part).tolist()))


@every_family
def test_a_version_gains_nothing_over_itself(make: Callable[..., Measured]) -> None:
    one, other = make(list(range(ROWS))), make(list(range(ROWS)), seed=1)
    assert all(score.value == 0 for score in gains(one, one, resamples=50).values())
    there, back = gains(one, other, resamples=200), gains(other, one, resamples=200)
    for name, score in there.items():
        assert score.value == pytest.approx(-back[name].value)
        assert score.low == pytest.approx(-back[name].high, abs=1e-6)


@every_family
def test_versions_of_different_rows_are_not_compared(make: Callable[..., Measured]) -> None:
    with pytest.raises(ValueError, match="different numbers of rows"):
        gains(make(list(range(ROWS))), make(list(range(ROWS - 1))), resamples=10)


def test_what_ranks_two_labels_equals_scikit_learn_and_scipy() -> None:
    from scipy.stats import ks_2samp

    measured = _two_classes(list(range(ROWS)))
    found = values(measured)
    truth, p = measured.truth == 1, measured.probabilities[:, 1]
    assert found["average_precision"] == pytest.approx(theirs.average_precision_score(truth, p))
    assert found["ks"] == pytest.approx(ks_2samp(p[truth], p[~truth]).statistic)
    one_sided = classified(np.ones(ROWS, int), measured.probabilities)
    assert values(one_sided)["average_precision"] is None
    assert values(one_sided)["ks"] is None
    three = classified(np.arange(6) % 3, np.full((6, 3), 1 / 3))
    assert "ks" not in values(three)


def test_numbers_equal_scikit_learn() -> None:
    measured = _numbers(list(range(ROWS)))
    found = values(measured)
    truth, predicted = measured.truth, measured.predicted
    assert found["rmse"] == pytest.approx(theirs.root_mean_squared_error(truth, predicted))
    assert found["mae"] == pytest.approx(theirs.mean_absolute_error(truth, predicted))
    assert found["r2"] == pytest.approx(theirs.r2_score(truth, predicted))
    assert found["coverage"] == np.mean(np.abs(truth - predicted) <= 2)
    assert values(Numbers(truth, predicted))["coverage"] is None


def test_equal_numbers_leave_r2_open() -> None:
    found = scores(Numbers(np.full(9, 0.1), np.arange(9.0)), resamples=50)
    assert found["r2"] is None
    assert found["mae"] is not None


def test_few_rows_whose_draws_may_be_all_alike_have_an_interval() -> None:
    found = scores(Numbers(np.array([1.0, 2, 3]), np.array([1.5, 2, 2])), resamples=500)
    assert found["r2"] is not None
    assert np.isfinite([found["r2"].low, found["r2"].high]).all()


@pytest.mark.parametrize(
    ("truth", "predicted"), [([], []), ([1.0], [np.nan]), ([1.0, 2.0], [1.0]), ([[1.0]], [[1.0]])]
)
def test_numbers_that_cannot_be_scored(truth: list[float], predicted: list[float]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        Numbers(np.array(truth), np.array(predicted))


def test_spans_equal_scikit_learns_scores_of_a_flat_list() -> None:
    """Each span of either side is one yes-or-no question."""
    measured = _spans(list(range(ROWS)))
    truth, found = [], []
    for true, given in zip(measured.truth, measured.predicted, strict=True):
        for span in true | given:
            truth.append(span in true)
            found.append(span in given)
    precision, recall, f1, _ = theirs.precision_recall_fscore_support(
        truth, found, average="binary"
    )
    ours = values(measured)
    assert ours["precision"] == pytest.approx(precision)
    assert ours["recall"] == pytest.approx(recall)
    assert ours["f1"] == pytest.approx(f1)


def _tagged(draw: random.Random) -> list[str]:
    """Tags of a sentence that is cut where it is long enough, whatever they tell."""
    tags: list[str] = []
    length = draw.randrange(3, 20)
    while len(tags) < length:
        kind, size = draw.choice(("PER", "LOC", "ORG")), draw.randrange(1, 4)
        inside = [f"I-{kind}"] * (size - 2)
        entity = [f"S-{kind}"] if size == 1 else [f"B-{kind}", *inside, f"E-{kind}"]
        tags += draw.choice((["O"], entity))
    return tags[:length]


def test_spans_equal_seqeval() -> None:
    """What seqeval 1.2.2 says of these 200 sentences, by default and in its strict mode (IOBES)
    alike, for all entities and by kind. It is no dependency, so its figures stand here."""
    draw = random.Random(4)
    truth, found = [], []
    for _ in range(200):
        tags = _tagged(draw)
        given = [tag if draw.random() < 0.8 else "O" for tag in tags]
        tokens = [(place, place + 1) for place in range(len(tags))]
        for rows, one in ((truth, tags), (found, given)):
            rows.append([span[:3] for span in sequence.spans_of(tokens, one)])
    measured = Spans(truth, found)
    ours = values(measured)
    assert ours["f1"] == pytest.approx(0.6902777777777778)
    assert ours["precision"] == pytest.approx(0.7171717171717171)
    assert ours["recall"] == pytest.approx(0.6653279785809906)
    kinds = {name: values(one)["f1"] for name, one in measured.by_type().items()}
    assert kinds == pytest.approx(
        {"LOC": 0.7333333333333334, "ORG": 0.6496815286624205, "PER": 0.6897880539499037}
    )


def test_a_span_counts_by_place_and_type_and_once() -> None:
    found = Spans([[(0, 2, "PER"), (4, 6, "LOC")], []], [[(0, 2, "PER"), (0, 2, "PER")], []])
    assert values(found) == {"f1": 2 / 3, "precision": 1, "recall": 0.5, "exact_rows": 0.5}
    assert values(Spans([[(0, 2, "PER")]], [[(0, 2, "LOC")]]))["f1"] == 0
    assert {name: values(one)["recall"] for name, one in found.by_type().items()} == {
        "LOC": 0,
        "PER": 1,
    }
    with pytest.raises(ValueError, match="1 rows of true spans, 0 of predicted"):
        Spans([[]], [])


def test_ndcg_equals_scikit_learn() -> None:
    measured = _ranking(list(range(ROWS)))
    truth = np.zeros((ROWS, 120))
    score = np.zeros((ROWS, 120))
    for row in range(ROWS):
        truth[row, list(measured.relevant[row])] = 1
        score[row, measured.ranked[row]] = -np.arange(120.0)
    assert values(measured)["ndcg"] == pytest.approx(theirs.ndcg_score(truth, score, k=10))


def test_rankings_by_hand() -> None:
    found = Ranking([{"a", "b"}, {"c"}], [["x", "a", "a", "b"], ["y"]], k=3)
    one = (1 / np.log2(3) + 1 / np.log2(4)) / (1 + 1 / np.log2(3))
    by_hand = {"ndcg": one / 2, "recall": 0.5, "hit_rate": 0.5, "mrr": 0.25}
    assert values(found) == pytest.approx({**by_hand, "catalogue_coverage": None})
    assert found.recall_at(2) == 0.25
    shown = Ranking([{"a"}, {"c"}], [["x", "a", "a", "b"], ["x", "a"]], k=2, catalogue=8)
    assert values(shown)["catalogue_coverage"] == 2 / 8
    coverage = scores(shown)["catalogue_coverage"]
    assert coverage is not None
    assert coverage.low <= coverage.value <= coverage.high
    with pytest.raises(ValueError, match="no relevant item"):
        Ranking([set()], [["a"]])


@pytest.mark.parametrize("family", few(FAMILIES, "mean error"))
def test_what_gains_passes_and_what_loses_does_not(family: str) -> None:
    """For a share, a mean error, an F1 of spans and an nDCG alike; equal ones half the time."""
    margin = FAMILIES[family].margin
    assert passed(family, 300, 0.0, 300) == pytest.approx(0.5, abs=0.1)
    assert passed(family, 300, -5 * margin, 60) <= 0.05
    assert passed(family, 300, 5 * margin, 60) >= 0.95


def test_the_error_of_a_mean_error_is_that_of_the_difference() -> None:
    first, second = FAMILIES["mean error"].draw(np.random.default_rng(1), 100, 0.0, 0.1)
    found = judge(first, second, "mae", margin=0.01, resamples=400)
    apart = abs(second.predicted - second.truth) - abs(first.predicted - first.truth)
    assert found.error == pytest.approx(apart.std() / 10, rel=0.1)
    assert found.gain.value == pytest.approx(apart.mean())
