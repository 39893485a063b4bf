"""An evaluation says what the metrics compute, aligned by label name, and travels as JSON."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from feilun.errors import InvalidData
from feilun.evaluation.result import Evaluation
from feilun.families.base import Answers
from feilun.families.classes import CLASSES
from feilun.families.classes.classification import Classified
from feilun.metrics.comparison import scores
from feilun.metrics.probabilities import softmax
from helpers.judged import SETTINGS, answers, flipped, judged

LABELS = ("good", "bad", "neutral")


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, 300)


def test_metrics_are_those_of_the_metrics_room(truth: np.ndarray) -> None:
    candidate = answers(LABELS, flipped(truth, range(0, 300, 7), 3), temperature=1.7)
    found = judged(LABELS, truth, candidate)
    stated = softmax(candidate.raw, 1.7)
    expected = scores(Classified(truth, stated), resamples=200, confidence=0.95, seed=0)
    assert found.metrics == expected
    assert found.score() == expected["accuracy"]
    assert found.missed == len(range(0, 300, 7))
    assert found.details.calibration.error_after == expected["calibration_error"]
    assert found.details.calibration.error_before != found.details.calibration.error_after


def test_json_round_trip(truth: np.ndarray) -> None:
    found = judged(
        LABELS,
        truth,
        answers(LABELS, flipped(truth, range(40), 3)),
        {
            "live": answers(LABELS, flipped(truth, range(20, 80), 3), name="reviews@1"),
            "baseline": CLASSES.constant({"good": 9}, LABELS, 300),
        },
        validation=(np.eye(3)[truth[:50]] * 3, truth[:50]),
    )
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Evaluation.from_json(json.loads(text)) == found
    assert found.validation["accuracy"] is not None
    assert found.validation_rows == 50


def test_what_cannot_be_told_is_null_not_nan() -> None:
    truth = np.zeros(10, dtype=int)
    found = judged(LABELS, truth, answers(LABELS, truth))
    assert found.metrics["roc_auc"] is None
    json.dumps(found.to_json(), allow_nan=False)


def test_other_versions_are_aligned_by_the_names_of_labels(truth: np.ndarray) -> None:
    """The live version has its labels in another order, lacks one, and has one of its own."""
    live_labels = ("old", "bad", "good")
    place = {"good": 2, "bad": 1, "neutral": 0}
    given = [place[LABELS[label]] for label in truth]
    live = answers(live_labels, given, name="reviews@1")
    found = judged(LABELS, truth, answers(LABELS, truth), {"live": live})
    other = found.against("live")
    assert other is not None
    known = int((truth != 2).sum())
    accuracy = other.metrics["accuracy"]
    assert accuracy is not None
    assert accuracy.value == pytest.approx(known / 300)
    assert other.new_labels == ("neutral",)
    assert other.rows == known
    assert other.known.value == 0, "on the labels that both know they are alike"
    assert other.gain["accuracy"].value == pytest.approx(1 - known / 300)
    assert (other.won, other.lost) == (300 - known, 0)
    assert found.labels == LABELS


def test_rows_without_a_label_are_left_out(truth: np.ndarray) -> None:
    partly = truth.copy()
    partly[:30] = -1
    found = judged(LABELS, partly, answers(LABELS, truth))
    assert (found.rows, found.unlabelled) == (270, 30)
    assert found.score().value == 1
    with pytest.raises(InvalidData, match="no test row"):
        judged(LABELS, np.full(300, -1), answers(LABELS, truth))


def test_lengths_that_differ_are_refused(truth: np.ndarray) -> None:
    with pytest.raises(ValueError, match="299 rows"):
        judged(LABELS, truth, answers(LABELS, truth[1:]))
    wide = Answers("x", "full", ("a", "b"), answers(LABELS, truth).raw)
    with pytest.raises(ValueError, match="for 2 labels"):
        judged(LABELS, truth, wide)


def test_the_surest_errors_come_first_with_their_text(truth: np.ndarray) -> None:
    sure = np.linspace(0.5, 4, 300)
    candidate = answers(LABELS, flipped(truth, range(100, 200), 3), sure=sure)
    items = [f"评论 {row} " + "长" * 3000 for row in range(300)]
    found = judged(LABELS, truth, candidate, items=items)
    assert [miss.row_id for miss in found.misses[:3]] == ["row-199", "row-198", "row-197"]
    assert len(found.misses) == 20
    first = found.misses[0]
    assert first.text is not None
    assert first.text.startswith("评论 199")
    assert len(first.text) == 2000
    assert first.cut == len(items[199]) - 2000
    assert first.truth == LABELS[truth[199]]
    assert first.stated > first.stated_truth


def test_pictures_become_thumbnails() -> None:
    written = io.BytesIO()
    Image.effect_noise((900, 600), 60).convert("CMYK").save(written, "JPEG")
    truth = np.zeros(12, dtype=int)
    items = [written.getvalue()] * 6 + [b"no picture"] * 6
    found = judged(LABELS, truth, answers(LABELS, flipped(truth, range(4, 8), 3)), items=items)
    pictures = [miss.image for miss in found.misses]
    assert pictures[0] is not None
    assert pictures[0].startswith("data:image/jpeg;base64,")
    assert len(pictures[0]) < 20_000
    assert pictures[2:] == [None, None]
    assert all(miss.text is None for miss in found.misses)
    assert found.slices == ()


def test_parts_of_the_rows(truth: np.ndarray) -> None:
    items = ["短评" if row % 3 else "a long English text of words " * 3 for row in range(300)]
    wrong = [row for row in range(300) if row % 3 == 0]
    found = judged(LABELS, truth, answers(LABELS, flipped(truth, wrong, 3)), items=items)
    parts = {one.name: one for one in found.slices}
    assert parts["chinese"].rows == 200
    assert parts["chinese"].score.value == 1
    assert parts["other"].score.value == 0
    assert sum(one.rows for one in found.slices) == 600


def test_the_classes_tell_what_others_found(truth: np.ndarray) -> None:
    live = answers(LABELS, np.zeros(300, dtype=int), name="reviews@1")
    found = judged(LABELS, truth, answers(LABELS, truth), {"live": live})
    good = found.details.classes[0]
    assert (good.right, good.rows) == (int((truth == 0).sum()),) * 2
    assert good.found == {"live": good.rows}
    assert found.details.classes[1].found == {"live": 0}


def test_thousands_of_labels_stay_small() -> None:
    labels = [f"label {i}" for i in range(3000)]
    truth = np.arange(0, 3000, 10)
    found = judged(labels, truth, answers(labels, flipped(truth, range(50), 3000)))
    assert len(found.details.confusion.cells) == 300
    assert len(json.dumps(found.to_json())) < 300_000


def test_the_baseline_of_the_first_stage_is_the_commonest_label(truth: np.ndarray) -> None:
    constant = CLASSES.constant({"bad": 30, "good": 10}, LABELS, len(truth))
    assert constant is not None
    found = judged(LABELS, truth, answers(LABELS, truth), {"baseline": constant})
    other = found.against("baseline")
    assert other is not None
    accuracy = other.metrics["accuracy"]
    assert accuracy is not None
    assert accuracy.value == pytest.approx((truth == 1).mean())
    assert np.isfinite(constant.raw).all()


def test_the_same_evidence_twice_is_the_same(truth: np.ndarray) -> None:
    candidate = answers(LABELS, flipped(truth, range(30), 3))
    assert judged(LABELS, truth, candidate) == judged(LABELS, truth, candidate)
    assert SETTINGS.margin == judged(LABELS, truth, candidate).margin
