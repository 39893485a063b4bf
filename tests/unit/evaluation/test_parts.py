"""Parts of the rows, months, and rows that were asked too often."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from feilun.evaluation.consultations import Consultations, luck
from feilun.evaluation.forgetting import forgetting
from feilun.evaluation.gate import Decision, decide
from feilun.evaluation.report import render
from feilun.evaluation.result import Evaluation
from feilun.evaluation.slices import slices
from feilun.families.classes.classification import Classified
from feilun.metrics.comparison import gain_draws, gains, judge
from feilun.metrics.numbers import Numbers
from feilun.metrics.paired import bootstrap_risk, holm, loss_p
from feilun.metrics.ranking import Ranking
from feilun.metrics.share import Share
from feilun.types import Schema
from helpers.judged import SETTINGS, answers, flipped, judged

LABELS = ("good", "bad")


def _codes(decision: Decision, weight: str) -> set[str]:
    return {reason.code for reason in decision.reasons if reason.weight == weight}


def _against(rows: int, new: list[int], live: list[int], **more: Any) -> Evaluation:
    truth = np.arange(rows) % 2
    return judged(
        LABELS,
        truth,
        answers(LABELS, flipped(truth, new, 2)),
        {"live": answers(LABELS, flipped(truth, live, 2), name="reviews@1")},
        **more,
    )


def test_holm_equals_the_textbook() -> None:
    """Holm (1979) by hand: 0.01 * 4, 0.02 * 3, 0.03 * 2, never falling."""
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([]) == []
    assert holm([0.7, 0.8]) == [1.0, 1.0]


def test_holm_keeps_its_word_for_many_parts() -> None:
    """Twenty parts without any loss: in at most one sample of twenty does any look proven."""
    generator = np.random.default_rng(3)
    alarms = plain = 0
    for _ in range(400):
        kind = generator.random((20, 60))
        first, second = kind >= 0.1, (kind < 0.1) | (kind >= 0.2)
        p = [loss_p(a, b) for a, b in zip(first, second, strict=True)]
        alarms += min(holm(p)) <= 0.05
        plain += min(p) <= 0.05
    assert alarms / 400 <= 0.05
    assert plain / 400 > 0.3, "without the correction chance would refuse"


def test_bootstrap_risk() -> None:
    assert bootstrap_risk(np.linspace(-1, 1, 999)) == pytest.approx(0.5, abs=1e-3)
    assert 0 < bootstrap_risk(np.ones(998)) == pytest.approx(0.001)
    assert bootstrap_risk(np.full(98, -0.01), 0.01) == pytest.approx(0.5)


def test_a_metric_that_is_resampled_proves_no_loss_by_three_rows() -> None:
    """Three of 30 rows lost and none won: by a sign test p is .125."""
    first = Ranking([{1}] * 30, [[0]] * 3 + [[1]] * 27)
    second = Ranking([{1}] * 30, [[1]] * 30)
    said = judge(first, second, "ndcg", margin=0.0, resamples=400)
    assert 1 - said.risk <= 0.05
    assert said.loss_p > 0.05


def test_the_draws_are_those_of_the_interval() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, 300)
    first, second = (Classified(truth, generator.dirichlet((1, 1), 300)) for _ in range(2))
    how: dict[str, Any] = {"resamples": 500, "seed": 3}
    for metric in ("f1", "log_loss"):
        drawn = gain_draws(first, second, metric, **how)
        score = gains(first, second, **how)[metric]
        assert np.quantile(drawn, 0.025) == pytest.approx(score.low, abs=0.01)
        assert drawn.mean() == pytest.approx(score.value, abs=0.02)


def test_a_part_that_lost_much_is_refused_though_the_whole_gained() -> None:
    """Short texts from the shop got worse, the rest much better."""
    columns = {"source": ["shop"] * 100 + ["mail"] * 500}
    found = _against(600, list(range(40)), list(range(300, 450)), columns=columns)
    decision = decide(found)
    assert decision.verdict == "better"
    assert not decision.promote
    assert "gate.part_worse" in _codes(decision, "against")
    assert any("rows from shop" in line for line in decision.sentences("en"))
    assert any("来自 shop 的数据" in line for line in decision.sentences("zh"))
    shop = next(one for one in found.slices if one.name == "shop")
    assert shop.worse
    assert shop.p is not None
    assert shop.p < 0.001
    assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_part_that_lost_little_or_by_chance_is_no_reason() -> None:
    columns = {"source": ["shop"] * 40 + ["mail"] * 560}
    chance = decide(_against(600, [0, 1, 2], list(range(300, 450)), columns=columns))
    assert chance.promote
    lenient = SETTINGS.model_copy(update={"slice_margin": 0.5})
    columns = {"source": ["shop"] * 100 + ["mail"] * 500}
    small = _against(600, list(range(40)), list(range(300, 450)), columns=columns, settings=lenient)
    assert decide(small).promote
    assert "gate.part_less" in _codes(decide(small), "note")


def test_parts_come_from_any_column() -> None:
    items = [{"text": "fine", "price": n, "shop": f"s{n % 3}"} for n in range(300)]
    right = np.arange(300) % 4 > 0
    found = slices(items, Share(right), "accuracy", 0.95, columns={"subject": ["", *["ann"] * 299]})
    assert {(one.column, one.name) for one in found} == {
        ("price", "low"),
        ("price", "high"),
        ("shop", "s0"),
        ("shop", "s1"),
        ("shop", "s2"),
        ("subject", "ann"),
    }
    one, same = {"source": ["one"] * 30}, {"source": [b"x"[0] % 2] * 300}
    assert slices(["a"] * 30, Share(right[:30]), "accuracy", 0.95, columns=one) == ()
    assert slices([], Share(right), "accuracy", 0.95, columns=same) == ()


def test_parts_of_predicted_numbers_are_compared_as_those_of_right_answers_are() -> None:
    """Ten times the error in one shop of three, found among six parts; elsewhere nothing."""
    generator = np.random.default_rng(4)
    truth = generator.normal(0, 1, 300)
    shops = [f"s{n % 3}" for n in range(300)]
    error = generator.normal(0, 0.1, 300)
    worse = np.where(np.array(shops) == "s1", 10 * error, error)
    found = slices(
        ["a text"] * 300,
        Numbers(truth, truth + worse),
        "mae",
        0.95,
        before=Numbers(truth, truth - error),
        columns={"shop": shops},
    )
    assert {one.name: one.worse for one in found} == {"s0": False, "s1": True, "s2": False}
    hit = next(one for one in found if one.name == "s1")
    assert hit.before is not None
    assert hit.score.value == pytest.approx(10 * hit.before.value)


def test_the_luck_of_many_attempts_is_taken_off_and_told() -> None:
    assert luck(1) == 0
    assert luck(5) == pytest.approx(1.79, abs=0.01)
    clear = list(range(48))
    assert decide(_against(700, clear, list(range(40, 110)))).promote
    again = decide(_against(700, clear, list(range(40, 110)), consultations=Consultations(30, 30)))
    assert {"gate.luck", "gate.fresh_rows"} <= _codes(again, "note")
    wrong, were = list(range(70)), list(range(60, 135))
    assert decide(_against(700, wrong, were)).promote
    fifth = decide(_against(700, wrong, were, consultations=Consultations(7, 5)))
    assert (fifth.promote, fifth.verdict) == (False, "cannot_tell")
    assert fifth.more_rows
    assert any("version 5 to be tried" in line for line in fifth.sentences("en"))
    # The luckiest of k looks better by less than this, also where rows are hard for all alike.
    best = np.random.default_rng(0).normal(size=(4000, 5)).max(axis=1)
    assert best.mean() <= luck(5)


def test_unsure_is_held_or_promoted_as_the_setting_says() -> None:
    new, live = list(range(12)), list(range(6, 18))
    held = decide(_against(60, new, live))
    assert (held.promote, held.verdict) == (False, "cannot_tell")
    assert "gate.no_gain_expected" in _codes(held, "note")
    bold = SETTINGS.model_copy(update={"unsure": "promote"})
    sent = decide(_against(60, new, live, settings=bold))
    assert (sent.promote, sent.verdict) == (True, "cannot_tell")
    assert sent.more_rows == held.more_rows
    probably_worse = decide(_against(60, live, new[:9], settings=bold))
    assert (probably_worse.promote, probably_worse.verdict) == (False, "worse")
    assert "gate.loses" in _codes(probably_worse, "against")
    assert probably_worse.more_rows


def _forgot(wrong: range, months: list[str]) -> Any:
    truth = np.arange(300) % 2
    return forgetting(
        answers(LABELS, flipped(truth, range(250, 300), 2), name="reviews@1"),
        answers(LABELS, flipped(truth, wrong, 2)),
        truth,
        items=[f"text {row}" for row in range(300)],
        row_ids=[f"row-{row}" for row in range(300)],
        schema=Schema("text-classification", LABELS),
        settings=SETTINGS,
        columns={"month": months},
    )


def test_a_forgotten_month_is_refused_and_shown() -> None:
    months = ["2026-09"] * 100 + ["2026-10"] * 200
    found = _forgot(range(30), months)
    months_of = {one.name: one for one in found.parts if one.column == "month"}
    assert months_of["2026-09"].worse
    assert not months_of["2026-10"].worse
    assert found.examples
    whole = _against(300, list(range(30)), list(range(250, 300)))
    decision = decide(whole, forgetting=found)
    assert "gate.month_worse" in _codes(decision, "against")
    page = render(whole, decision, forgetting=found, lang="en")
    assert "rows that came in 2026-09" in page
    assert "proven loss" in page


def test_a_label_that_lost_rows_is_named() -> None:
    truth = np.arange(300) % 2
    wrong = range(0, 60, 2)  # all of the label "good"
    found = forgetting(
        answers(LABELS, truth, name="reviews@1"),
        answers(LABELS, flipped(truth, wrong, 2)),
        truth,
        items=[f"text {row}" for row in range(300)],
        row_ids=[f"row-{row}" for row in range(300)],
        schema=Schema("text-classification", LABELS),
        settings=SETTINGS,
    )
    lost = {one.label: one.p for one in found.classes}
    assert lost["good"] is not None
    assert lost["good"] < 0.001
    assert lost["bad"] is not None
    assert lost["bad"] > 0.05
    assert all(flip.truth == "good" for flip in found.examples)


def test_the_report_counts_who_asked() -> None:
    found = _against(
        400, list(range(30)), list(range(60)), consultations=Consultations(total=23, attempts=4)
    )
    page = render(found, decide(found), lang="en")
    assert "Versions judged on these rows" in page
    assert ">23<" in page
