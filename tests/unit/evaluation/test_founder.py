"""The verdict for who decides: good enough for what, how sure, at what cost, what to do next."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from feilun.config import CostsConfig, EvaluationConfig, TargetConfig
from feilun.evaluation.founder import Money, amount, founder
from feilun.evaluation.gate import decide
from feilun.evaluation.report import render
from feilun.evaluation.result import Evaluation
from feilun.evaluation.verdict import headline
from feilun.families.classes.choice import Choice, judge, more_rows
from feilun.families.classes.rule import PLAIN, Rule
from feilun.metrics.intervals import wilson
from helpers.judged import answers, flipped, judged

LABELS = ("complaint", "praise")


def _probabilities(truth: np.ndarray, wrong: int, sure: float = 0.9) -> np.ndarray:
    """The first `wrong` complaints are taken for praise, all with the same certainty."""
    given = truth.copy()
    given[np.flatnonzero(truth == 0)[:wrong]] = 1
    rows = np.full((len(truth), 2), 1 - sure)
    rows[np.arange(len(truth)), given] = sure
    return rows


def _choice(rows: int, wrong: int, rule: Rule = PLAIN, **settings: Any) -> Choice:
    truth = np.arange(rows) % 2
    target = TargetConfig(label="complaint", missed_at_most=0.02)
    return judge(
        _probabilities(truth, wrong),
        truth,
        LABELS,
        rule,
        EvaluationConfig(resamples=200, **{"target": target, **settings}),
    )


def _judged(choice: Choice, **changes: Any) -> Evaluation:
    truth = np.arange(400) % 2
    found = judged(LABELS, truth, answers(LABELS, flipped(truth, range(40), 2)))
    return replace(found, details=replace(found.details, choice=choice), **changes)


@pytest.mark.parametrize(
    ("rows", "wrong", "status"),
    [(2000, 5, "met"), (2000, 80, "not_met"), (200, 2, "cannot_tell"), (20, 0, "cannot_tell")],
)
def test_the_target_is_met_or_not_or_cannot_be_told(rows: int, wrong: int, status: str) -> None:
    choice = _choice(rows, wrong)
    assert choice.status == status
    (one,) = choice.conditions
    assert one.rows == rows // 2
    assert one.score == wilson(wrong, rows // 2)


def test_the_rows_asked_for_settle_it() -> None:
    (one,) = _choice(200, 0).conditions
    assert one.more_rows
    assert wilson(0, one.rows + one.more_rows).high <= 0.02
    assert wilson(0, one.rows + one.more_rows - 20).high > 0.02
    assert more_rows(0.02, 100, 0.02, 0.95) is None, "on the limit itself"


def test_accuracy_and_false_alarms() -> None:
    target = TargetConfig(label="praise", false_alarms_at_most=0.05, accuracy_at_least=0.9)
    choice = _choice(4000, 20, target=target)
    assert {one.kind: one.status for one in choice.conditions} == {
        "false_alarms": "met",
        "accuracy": "met",
    }
    choice = _choice(4000, 600, target=target)
    assert choice.status == "not_met"


def test_what_is_left_to_a_person_is_not_missed() -> None:
    plain, careful = _choice(2000, 80), _choice(2000, 80, Rule(abstain_below=0.95))
    assert plain.conditions[0].score.value == 0.08
    assert careful.abstained.value == 1
    assert careful.conditions[0].score.value == 0
    assert _choice(2000, 80, Rule(abstain_below=0.85)).abstained.value == 0


def test_the_threshold_is_priced_on_the_same_rows() -> None:
    costs = CostsConfig(label="complaint", missed=10, false_alarm=1)
    choice = _choice(2000, 60, Rule("complaint", 0.09), costs=costs)
    assert choice.costs is not None
    assert choice.costs.plain.value == pytest.approx(1000 * 60 * 10 / 2000)
    assert choice.costs.per_1000.value == pytest.approx(1000 * 1000 / 2000), "all called complaints"
    assert choice.costs.saved.value == pytest.approx(-200)
    assert choice.costs.saved.high < 0, "a bad threshold is said to be one"
    assert choice.costs.plain.low < choice.costs.plain.value < choice.costs.plain.high
    by_threshold = {one.threshold: one.per_1000.value for one in choice.costs.curve}
    assert by_threshold[0.02] == choice.costs.per_1000.value
    assert by_threshold[0.5] == pytest.approx(choice.costs.plain.value)


def test_the_interval_of_the_cost_holds_what_it_promises() -> None:
    random = np.random.default_rng(0)
    costs = CostsConfig(label="complaint", missed=10, false_alarm=1)
    settings = EvaluationConfig(resamples=100, costs=costs)
    held = 0
    for _ in range(200):
        truth = (random.random(200) > 0.3).astype(np.int64)
        wrong = random.random(200) < np.where(truth == 0, 0.1, 0.05)
        rows = np.eye(2)[np.where(wrong, 1 - truth, truth)] * 0.8 + 0.1
        found = judge(rows, truth, LABELS, PLAIN, settings).costs
        assert found is not None
        held += found.plain.low <= 1000 * (0.3 * 0.1 * 10 + 0.7 * 0.05) <= found.plain.high
    assert held >= 186


def test_the_curve_runs_from_all_rows_to_the_surest_half() -> None:
    random = np.random.default_rng(0)
    sure = 0.5 + random.random(1000) / 2
    right = random.random(1000) < sure
    rows = np.stack([sure, 1 - sure], axis=1)
    choice = judge(rows, np.where(right, 0, 1), LABELS, PLAIN, EvaluationConfig(resamples=100))
    shares = [point.share for point in choice.curve]
    assert shares[0] == 1
    assert shares[-1] == 0.5
    assert choice.curve[-1].accuracy.value > choice.curve[0].accuracy.value + 0.05
    assert choice.status is None


@pytest.mark.parametrize(
    ("choice", "english", "chinese"),
    [
        (_choice(2000, 5), "is good enough for what you asked", "达到了您的要求"),
        (_choice(2000, 80), "is not good enough yet", "还没有达到您的要求"),
        (_choice(200, 0), "cannot be told yet", "还无法判断"),
    ],
)
def test_the_paragraph_speaks_both_languages(choice: Choice, english: str, chinese: str) -> None:
    found = _judged(choice)
    decision = decide(found)
    money = Money(0.02, 1.5, "USD")
    said = founder(found, decision, money, "en")
    assert english in said
    assert "complaint" in said
    assert "0.02 USD" in said
    assert "feilun " in said
    assert "{" not in said
    assert chinese in founder(found, decision, money, "zh")


def test_the_next_command_fits_what_was_found() -> None:
    def after(choice: Choice, **changes: Any) -> str:
        found = _judged(choice, **changes)
        return founder(found, decide(found), None, "en").partition("Next: ")[2]

    assert after(_choice(2000, 5)) == "feilun deploy reviews@2"
    assert after(_choice(2000, 5), is_live=True) == ""
    assert "more rows of “complaint”" in after(_choice(200, 0))
    truth = np.arange(2000) % 2
    wanted = judge(
        _probabilities(truth, 80),
        truth,
        LABELS,
        PLAIN,
        EvaluationConfig(target=TargetConfig(label="complaint", missed_at_most=0.02)),
        (_probabilities(truth, 80), truth),
    )
    assert wanted.wanted == pytest.approx(9)
    assert "missed = 9 under [evaluation.costs]" in after(wanted)
    accuracy = TargetConfig(accuracy_at_least=0.99)
    assert "feilun review" in after(_choice(2000, 80, target=accuracy))
    none = _choice(2000, 80, Rule(abstain_below=0.95), target=accuracy)
    assert "lower abstain_for" in after(none)


def test_without_a_target_it_says_so() -> None:
    found = _judged(_choice(2000, 5, target=TargetConfig()))
    said = founder(found, decide(found), None, "en")
    assert "has not been said" in said
    assert "90.0% of 400 test rows" in said


def test_the_live_version_is_not_said_to_go_live() -> None:
    found = _judged(_choice(2000, 5), is_live=True)
    decision = decide(found)
    assert headline(found, decision, "en") == "reviews@2 is live; this is what it is worth"
    assert "and goes live" not in render(found, decision)
    candidate = _judged(_choice(2000, 5))
    assert "may go live" in headline(candidate, decide(candidate), "en")
    assert "no live version" not in " ".join(decision.sentences("en"))


def test_choices_travel_and_are_shown() -> None:
    costs = CostsConfig(label="complaint", missed=10, false_alarm=1)
    choice = _choice(2000, 80, Rule("complaint", 0.09, 0.2), costs=costs)
    assert Choice.from_json(json.loads(json.dumps(choice.to_json()))) == choice
    found = _judged(choice)
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found
    page = render(found, decide(found))
    assert "Your costs of errors about “complaint”" in page
    assert "如果把没有把握的回答交给人" in page


def test_words_of_errors_are_shaded_and_escaped() -> None:
    found = _judged(_choice(2000, 5))
    text = "<b>bad</b> & good"
    miss = replace(found.misses[0], text=text, shades=((3, 6, 2.0), (13, 17, -1.0)))
    page = render(replace(found, misses=(miss,)), decide(found))
    shown = '&lt;b&gt;<mark class="for" style="--w:1.00">bad</mark>&lt;/b&gt; &amp; '
    assert shown + '<mark class="against" style="--w:0.50">good</mark>' in page
    assert "Orange words" in page


def test_squares_of_pictures_are_shaded() -> None:
    found = _judged(_choice(2000, 5))
    image = "data:image/png;base64,AAAA"
    miss = replace(found.misses[0], text=None, image=image, heat=((1.0, 0.0), (-0.5, 0.01)))
    page = render(replace(found, misses=(miss,)), decide(found))
    drawn = page.partition('<span class="heated">')[2].partition("</span>")[0]
    assert drawn.count("<rect") == 2, "what weighs next to nothing stays as it is"
    assert 'class="for" fill-opacity="0.6"' in drawn
    assert 'class="against" fill-opacity="0.3"' in drawn
    assert f'src="{image}"' in drawn


def test_amounts_have_two_digits_that_count() -> None:
    said = [amount(value) for value in (0, 340.2, 1.234, 0.0031, 12.0, -5.0, 0.000002)]
    assert said == ["0", "340", "1.2", "0.0031", "12", "−5", "0.000002"]
