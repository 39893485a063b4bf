"""What every family of answers promises, shown on the families of all tasks that are found."""

from __future__ import annotations

import numpy as np
import pytest

from feilun.engines.cascade import certainty
from feilun.errors import InvalidData
from feilun.families.base import Answers, Family
from feilun.families.classes import CLASSES
from feilun.families.classes.point import Point, decoder
from feilun.metrics.comparison import values
from feilun.metrics.intervals import resampled
from feilun.tasks import base
from feilun.training.finetune_settings import FineTuneSettings as MethodSettings
from feilun.types import Schema

ROWS = 60
# Bins of calibration stay where they were, and areas are resampled by influence.
APPROXIMATE = {"calibration_error", "roc_auc"}


def _families() -> dict[str, base.TaskBase]:
    found: dict[str, base.TaskBase] = {}
    for name in base.names():
        task = base.get(name)
        found.setdefault(task.family.name, task)
    return found


@pytest.fixture(params=_families().values(), ids=_families().keys())
def task(request: pytest.FixtureRequest) -> base.TaskBase:
    """One task of each family."""
    one: base.TaskBase = request.param
    return one


@pytest.fixture
def family(task: base.TaskBase) -> Family:
    """Its family."""
    return task.family


@pytest.fixture
def schema(task: base.TaskBase) -> Schema:
    """A schema of the task's examples."""
    targets = [one.label for one in task.examples if one.label]
    return Schema(task.name, task.family.names(targets), {})


@pytest.fixture
def targets(task: base.TaskBase) -> list[str]:
    """Some rows' targets."""
    found = [one.label for one in task.examples if one.label]
    return (found * ROWS)[:ROWS]


def _raw(family: Family, schema: Schema, seed: int = 0) -> np.ndarray:
    return family.example_raw(ROWS, schema.labels, seed)


def test_a_target_is_its_own_canonical_text(family: Family, targets: list[str]) -> None:
    for target in targets:
        assert family.target(target) == target
        assert isinstance(family.stratum(target), str)
    assert family.target(None) is family.target("  ") is None
    with pytest.raises(InvalidData):
        family.target(b"\x00")


def test_names_do_not_depend_on_the_order_of_rows(family: Family, targets: list[str]) -> None:
    assert family.names(targets) == family.names(targets[::-1])
    assert family.teachable(targets)
    assert not family.teachable(targets[:1])


def test_unlabelled_rows_are_known_as_such(
    family: Family, schema: Schema, targets: list[str]
) -> None:
    truth = family.truth([None, *targets], schema.labels)
    assert family.known(truth).tolist() == [False] + [True] * ROWS


def test_an_answer_says_what_a_target_says(family: Family, schema: Schema) -> None:
    for output in family.decoder(schema, family.neutral())(_raw(family, schema), True):
        said = family.said(output)
        assert family.target(said) == said
        assert family.differ(output, dict(output)) == family.differ(output, output)
        assert family.differ(output, output).same
        assert family.differ(output, output).size == 0
        sure = family.sure(output)
        assert sure is None or 0 <= sure <= 1


def test_tensors_have_one_value_a_row(family: Family, schema: Schema) -> None:
    outputs = family.decoder(schema, family.neutral())(_raw(family, schema), True)
    for one in family.tensors(schema, family.neutral()):
        if one.shape[0] == -1:
            assert len(one.values(outputs)) == ROWS


def test_a_sheet_measures_all_versions(family: Family, schema: Schema, targets: list[str]) -> None:
    truth = family.truth(targets, schema.labels)
    first, second = (
        Answers(name, "linear", schema.labels, _raw(family, schema, seed), family.neutral())
        for name, seed in (("a@1", 0), ("a@2", 1))
    )
    sheet = family.sheet(first, {"live": second}, truth, schema.labels)
    assert tuple(sheet.measured.higher_is_better) == tuple(family.metrics)
    assert set(values(sheet.measured)) == set(family.metrics)
    assert sheet.measured.rows == sheet.others["live"].rows == ROWS
    won, lost = sheet.better("live")
    assert not (won & lost).any()
    assert not sheet.same("live")
    assert family.sheet(first, {"live": first}, truth, schema.labels).same("live")
    assert sheet.targets() == targets
    assert len(sheet.spoken(0)) == 3
    count, worst = sheet.errors(5)
    assert len(worst) == min(5, count)


def test_a_weighted_row_is_a_repeated_row(
    family: Family, schema: Schema, targets: list[str]
) -> None:
    """Intervals, comparisons, gate, slices, forecasts and forgetting draw weights, and know no
    metric: for each the weights have to say what the rows would say."""
    truth, raw, point = family.truth(targets, schema.labels), _raw(family, schema), family.neutral()
    whole = family.measured(truth, raw, schema.labels, point)
    (weights,) = resampled(ROWS, 3, seed=3)
    found = whole.replicates(weights)
    assert list(found) == [name for name in family.metrics if name in found]
    for draw, counts in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(ROWS), counts)
        again = values(family.measured(truth[rows], raw[rows], schema.labels, point))
        for name in found.keys() - APPROXIMATE:
            value = np.nan if again[name] is None else again[name]
            assert found[name][draw] == pytest.approx(value, rel=1e-5, nan_ok=True), name
    part = np.arange(ROWS) % 3 == 0
    alone = family.measured(truth[part], raw[part], schema.labels, point)
    assert values(whole.take(part)) == values(alone)


def test_variants_that_answer_alike_do_not_disagree(family: Family, schema: Schema) -> None:
    raw = _raw(family, schema)
    assert not family.disagreements(raw, raw.copy(), schema.labels)


# Classes


def test_labels_are_text_and_ordered() -> None:
    assert CLASSES.target(" good ") == "good"
    assert CLASSES.target(3.0) == CLASSES.target(3) == CLASSES.target("3") == "3"
    assert CLASSES.target(2.5) == "2.5"
    assert CLASSES.target(True) == "true"
    assert CLASSES.target("好评") == "好评"
    assert CLASSES.target(float("nan")) is None
    assert CLASSES.names(["10", "9", "9", "-1"]) == ("-1", "9", "10")
    assert CLASSES.names(["b", "a", "b"]) == ("a", "b")
    with pytest.raises(InvalidData):
        CLASSES.target("a whole story " * 50)


def test_probabilities_add_up() -> None:
    schema = Schema("text-classification", ("bad", "fine", "good"))
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for output in decoder(schema, Point())(logits, True):
        assert output["score"] == max(output["scores"].values())
        assert output["scores"][output["label"]] == output["score"]
        assert tuple(output["scores"]) == schema.labels
        assert abs(sum(output["scores"].values()) - 1) < 1e-12
    assert all("scores" not in output for output in decoder(schema, Point())(logits, False))


def test_temperature_changes_certainty_not_answers() -> None:
    schema = Schema("text-classification", ("bad", "fine", "good"))
    logits = np.random.default_rng(1).normal(size=(20, 3)) * 3
    sharp, soft = (decoder(schema, Point(heat))(logits, False) for heat in (1.0, 4.0))
    assert [one["label"] for one in sharp] == [one["label"] for one in soft]
    assert all(a["score"] > b["score"] for a, b in zip(sharp, soft, strict=True))
    huge = decoder(schema, Point())(logits * 1e4, False)
    assert all(np.isfinite(one["score"]) for one in huge)


def test_a_cheaper_model_may_answer_first_or_it_is_said_why(family: Family, schema: Schema) -> None:
    reason = family.uncascaded()
    raw = _raw(family, schema)
    outputs = family.decoder(schema, family.neutral())(raw, False)
    sure = certainty(family, outputs)
    assert len(sure) == ROWS
    if reason is not None:
        assert reason[0].islower()  # the middle of a sentence
        assert np.isnan(sure).all()
        return
    known = sure[np.isfinite(sure)]
    assert len(known)
    assert known.min() >= 0
    assert known.max() <= 1


def test_settled_outputs_say_the_same_at_the_neutral_point(family: Family, schema: Schema) -> None:
    raw = _raw(family, schema)
    own = {"temperature": 3.0} if family.neutral().get("temperature") else family.neutral()
    settled = family.settled(raw, schema, own)
    first = family.decoder(schema, own)(raw, False)
    second = family.decoder(schema, family.neutral())(settled, False)
    third = family.decoder(schema, family.scaled(family.neutral(), own))(raw, False)
    for one, *others in zip(first, second, third, strict=True):
        assert all(family.differ(one, other).size < 1e-5 for other in others)


def test_answers_have_a_mean_or_it_is_said_why(family: Family, schema: Schema) -> None:
    reason = family.unaveraged()
    if reason is not None:
        assert family.name in reason
        return
    raws = [_raw(family, schema, seed) for seed in (0, 1)]
    decode = family.decoder(schema, family.neutral())
    first = decode(raws[0], True)
    alone = decode(family.mean(raws, np.array([1.0, 0.0])), True)
    stated = decode(family.stated(first, schema), True)
    for one, *others in zip(first, alone, stated, strict=True):
        assert all(family.differ(one, other).size < 1e-4 for other in others)
    both = decode(family.mean(raws, np.array([0.5, 0.5])), True)
    swapped = decode(family.mean(raws[::-1], np.array([0.5, 0.5])), True)
    for one, other in zip(both, swapped, strict=True):
        assert family.differ(one, other).size < 1e-5


def test_a_teacher_says_what_to_learn_or_it_is_said_why_not(
    family: Family, schema: Schema, targets: list[str]
) -> None:
    reason = family.untaught()
    if reason is not None:
        assert family.name in reason
        return
    truth = family.truth([*targets[:-1], None], schema.labels)
    raw = _raw(family, schema)
    learnt = [family.softened(raw, truth, schema.labels, share) for share in (0.0, 1.0)]
    assert len(learnt[0]) == ROWS
    # Of a row without a target the teacher says all; of the others as much as it may.
    assert np.array_equal(learnt[0][-1], learnt[1][-1])
    assert not np.allclose(learnt[0][:-1], learnt[1][:-1])
    objective = family.objective(learnt[1], schema.labels, MethodSettings())
    again = objective.targets(list(learnt[1]), [])
    assert len(again) == ROWS
    assert np.isfinite(again).all()
