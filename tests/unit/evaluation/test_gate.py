"""The gate: what goes live, what stays out, and what cannot be told yet."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from feilun.evaluation.consultations import Consultations
from feilun.evaluation.forgetting import forgetting
from feilun.evaluation.founder import founder
from feilun.evaluation.gate import Decision, decide
from feilun.evaluation.gate_parts import forgot
from feilun.evaluation.result import Evaluation, Forgetting, Saving
from feilun.evaluation.verdict import headline, paragraph
from feilun.types import Schema
from helpers.judged import SETTINGS, answers, flipped, judged

LABELS = ("good", "bad")


def _truth(rows: int, labels: int = 2) -> np.ndarray:
    return np.arange(rows) % labels


def _against(rows: int, new_wrong: range, live_wrong: range, **more: object) -> Evaluation:
    truth = _truth(rows)
    return judged(
        LABELS,
        truth,
        answers(LABELS, flipped(truth, new_wrong, 2)),
        {"live": answers(LABELS, flipped(truth, live_wrong, 2), name="reviews@1")},
        **more,
    )


def _codes(decision: Decision, weight: str) -> set[str]:
    return {reason.code for reason in decision.reasons if reason.weight == weight}


def test_clearly_better_goes_live() -> None:
    decision = decide(_against(400, range(40), range(100)))
    assert (decision.promote, decision.verdict) == (True, "better")
    assert "+15.0 points" in decision.sentences("en")[0]


def test_clearly_worse_stays_out() -> None:
    decision = decide(_against(400, range(100), range(40)))
    assert (decision.promote, decision.verdict) == (False, "worse")
    assert _codes(decision, "against") == {"gate.loses"}
    assert "nothing goes live that is not expected to gain" in " ".join(decision.sentences("en"))


def test_equal_stays_out_and_a_little_better_goes_live() -> None:
    decision = decide(_against(3000, range(300), range(5, 305)))
    assert (decision.promote, decision.verdict) == (False, "equal")
    assert _codes(decision, "against") == {"evaluation.gate_equal"}
    found = _against(3000, range(300), range(5, 305))
    assert "as good as reviews@1, which stays live" in headline(found, decision, "en")
    found = _against(3000, range(300), range(5, 308))
    decision = decide(found)
    assert (decision.promote, decision.verdict) == (True, "equal")
    assert "gate.gain_expected" in _codes(decision, "note")
    assert "+0.1 points" in " ".join(decision.sentences("en"))


def test_few_rows_count_little() -> None:
    """The same difference in the same proportion: the more rows, the more of it is expected."""
    few, many = _against(60, range(6), range(8)), _against(6000, range(600), range(800))
    gains = [one.against("live") for one in (few, many)]
    assert gains[0] is not None
    assert gains[1] is not None
    assert gains[0].known.value == pytest.approx(gains[1].known.value)
    assert gains[0].expected is not None
    assert gains[1].expected is not None
    assert 0 < gains[0].expected < 0.01 < gains[1].expected < gains[1].known.value
    decision = decide(few)
    assert (decision.promote, decision.verdict) == (True, "not_worse")
    assert "though not proven" in headline(few, decision, "en")
    assert "虽未证明" in headline(few, decision, "zh")
    assert "is to be expected, though the rows do not prove it" in founder(few, decision, lang="en")


def test_more_training_rows_count_a_little_where_the_rows_cannot_tell() -> None:
    same_rows = _against(60, range(6), range(3, 9))
    grown = _against(60, range(6), range(3, 9), grown=2.0)
    assert not decide(same_rows).promote
    assert decide(grown).promote
    # Where a loss is proven no number of training rows makes up for it.
    lost = _against(400, range(60), range(20), grown=100.0)
    assert not decide(lost).promote


def test_the_luck_of_many_attempts_is_taken_off() -> None:
    first = _against(400, range(30), range(5, 40))
    fifth = _against(400, range(30), range(5, 40), consultations=Consultations(5, 5))
    assert decide(first).promote
    decision = decide(fifth)
    assert (decision.promote, decision.verdict) == (False, "cannot_tell")
    assert any("version 5 to be tried" in line for line in decision.sentences("en"))


def test_labels_that_the_rows_cannot_count_may_cost_the_margin() -> None:
    truth = _truth(3000)
    three = ("good", "bad", "mixed")
    live = answers(LABELS, flipped(truth, range(300), 2), name="reviews@1")
    costs = judged(three, truth, answers(three, flipped(truth, range(310), 2)), {"live": live})
    decision = decide(costs)
    assert decision.promote
    assert "gate.adds_labels" in _codes(decision, "for")
    assert "mixed" in decision.sentences("en")[0]
    ruins = judged(three, truth, answers(three, flipped(truth, range(400), 2)), {"live": live})
    assert not decide(ruins).promote


def test_who_says_so_takes_a_loss_within_the_margin() -> None:
    allowed = SETTINGS.model_copy(update={"unsure": "promote"})
    decision = decide(_against(300, range(31), range(1, 31), settings=allowed))
    assert decision.promote
    assert _codes(decision, "for") == {"gate.loss_allowed"}
    assert not decide(_against(300, range(31), range(1, 31))).promote
    assert not decide(_against(300, range(60), range(20), settings=allowed)).promote


def test_the_very_answers_of_the_live_version_gain_nothing() -> None:
    found = _against(30, range(6), range(6))
    decision = decide(found)
    assert (decision.promote, decision.verdict) == (False, "equal")
    assert _codes(decision, "against") == {"evaluation.gate_same"}
    assert "reviews@1, which stays live" in headline(found, decision, "en")


def test_few_rows_cannot_tell_and_say_how_many_more() -> None:
    decision = decide(_against(30, range(6), range(2, 8)))
    assert (decision.promote, decision.verdict) == (False, "cannot_tell")
    assert decision.more_rows is not None
    assert decision.more_rows >= 100
    assert any("more labelled test rows" in line for line in decision.sentences("en"))


def test_few_rows_without_a_difference_prove_nothing() -> None:
    """No label differs, and yet twelve rows cannot exclude a loss of a point."""
    truth = _truth(12)
    live = answers(LABELS, truth, name="reviews@1", sure=1.5)
    decision = decide(judged(LABELS, truth, answers(LABELS, truth), {"live": live}))
    assert (decision.promote, decision.verdict) == (False, "cannot_tell")


@pytest.mark.slow
def test_the_estimate_of_rows_holds() -> None:
    """With the rows that were asked for, in the same proportions, the answer comes."""
    few = decide(_against(240, range(52), range(24, 75)))
    assert few.verdict == "cannot_tell"
    assert few.more_rows
    times = -(-(240 + few.more_rows) // 240)
    truth = np.tile(_truth(240), times)
    new, old = flipped(_truth(240), range(52), 2), flipped(_truth(240), range(24, 75), 2)
    many = judged(
        LABELS,
        truth,
        answers(LABELS, np.tile(new, times)),
        {"live": answers(LABELS, np.tile(old, times), name="reviews@1")},
    )
    assert decide(many).verdict == "equal"
    assert many.against("live").more_rows == 0  # type: ignore[union-attr]


def test_small_losses_within_the_margin_are_no_gain() -> None:
    decision = decide(_against(8000, range(832), range(800)))
    assert (decision.promote, decision.verdict) == (False, "equal")
    strict = SETTINGS.model_copy(update={"margin": 0.0})
    decision = decide(_against(8000, range(832), range(800), settings=strict))
    assert (decision.promote, decision.verdict) == (False, "worse")


def test_the_first_version_has_nothing_to_lose_against() -> None:
    truth = _truth(40)
    found = judged(LABELS, truth, answers(LABELS, flipped(truth, range(5), 2)))
    decision = decide(found)
    assert (decision.promote, decision.verdict) == (True, "first")
    assert "no live version to beat" in headline(found, decision, "en")


def test_a_lost_label_is_refused_however_good_the_rest() -> None:
    labels = ("a", "b", "c")
    truth = np.array([0] * 200 + [1] * 190 + [2] * 10)
    live = answers(labels, flipped(truth, range(60), 3), name="reviews@1")
    new = np.where(truth == 2, 0, truth)
    found = judged(labels, truth, answers(labels, new), {"live": live})
    decision = decide(found)
    assert decision.verdict == "better"
    assert not decision.promote
    assert _codes(decision, "against") == {"evaluation.gate_collapse"}
    assert "“c”" in decision.sentences("en")[0]
    assert "refused" in headline(found, decision, "en")


def test_a_label_that_nobody_finds_is_told_not_refused() -> None:
    labels = ("a", "b", "c")
    truth = np.array([0] * 200 + [1] * 190 + [2] * 10)
    never = np.where(truth == 2, 0, truth)
    live = answers(labels, flipped(never, range(60), 2), name="reviews@1")
    decision = decide(judged(labels, truth, answers(labels, never), {"live": live}))
    assert decision.promote
    assert "evaluation.gate_never_found" in _codes(decision, "note")


def test_worse_than_always_the_same_label_is_refused() -> None:
    truth = np.array([0] * 80 + [1] * 20)
    found = judged(LABELS, truth, answers(LABELS, flipped(truth, range(40), 2)))
    decision = decide(found)
    assert (decision.promote, decision.verdict) == (False, "first")
    assert _codes(decision, "against") == {"evaluation.gate_floor"}
    assert "80.0%" in decision.sentences("en")[0]


def test_always_the_most_frequent_label_has_no_worth_in_the_others() -> None:
    truth = np.array([0] * 80 + [1] * 20)
    decision = decide(judged(LABELS, truth, answers(LABELS, np.zeros_like(truth))))
    assert {"evaluation.gate_floor_same", "evaluation.gate_never_found"} <= _codes(decision, "note")


def test_fewer_right_but_fairer_to_rare_labels_is_no_reason_to_refuse() -> None:
    truth = np.array([0] * 450 + [1] * 50)
    found = judged(LABELS, truth, answers(LABELS, flipped(truth, range(60), 2)))
    decision = decide(found)
    assert found.score().value < found.details.floor[1]
    assert decision.promote
    assert "evaluation.gate_floor_note" in _codes(decision, "note")


@pytest.mark.parametrize("wrong", [range(60), range(50)], ids=["loses", "ties"])
def test_a_stage_that_does_not_beat_the_one_below_is_never_promoted(wrong: range) -> None:
    truth = _truth(400)
    below = answers(LABELS, flipped(truth, range(50), 2), name="reviews@1", method="linear")
    found = judged(LABELS, truth, answers(LABELS, flipped(truth, wrong, 2)), {"below": below})
    decision = decide(found)
    assert not decision.promote
    assert _codes(decision, "against") == {"evaluation.gate_rung_loses"}


def test_a_stage_that_beats_the_one_below_goes_on() -> None:
    truth = _truth(400)
    below = answers(LABELS, flipped(truth, range(50), 2), name="reviews@1", method="linear")
    candidate = answers(LABELS, flipped(truth, range(20), 2))
    found = judged(LABELS, truth, candidate, {"live": below, "below": below, "baseline": below})
    decision = decide(found)
    assert decision.promote
    assert [reason.code for reason in decision.reasons].count("evaluation.gate_rung_wins") == 1


def _forgetting(after_wrong: range, before_wrong: range) -> Forgetting:
    truth = _truth(400)
    return forgetting(
        answers(LABELS, flipped(truth, before_wrong, 2), name="reviews@1"),
        answers(LABELS, flipped(truth, after_wrong, 2)),
        truth,
        items=[f"text {row}" for row in range(400)],
        row_ids=[f"row-{row}" for row in range(400)],
        schema=Schema("text-classification", LABELS),
        settings=SETTINGS,
        old_rows={f"row-{row}" for row in range(300)},
    )


def test_forgetting_counts_old_and_fresh_rows_apart() -> None:
    found = _forgetting(range(20, 60), range(250, 400))
    assert (found.rows, found.fresh_rows) == (300, 100)
    assert (found.gained, found.forgotten) == (50, 40)
    assert found.before is not None
    assert found.before.value == pytest.approx(250 / 300)
    assert found.fresh_before is not None
    assert found.fresh_after is not None
    assert (found.fresh_before.value, found.fresh_after.value) == (0.0, 1.0)
    assert [(one.label, one.rows) for one in found.classes] == [("good", 150), ("bad", 150)]
    assert found.examples[0].row_id == "row-20"
    assert (found.examples[0].before, found.examples[0].after) == ("good", "bad")
    assert Forgetting.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_what_forgets_is_refused_though_it_gained_elsewhere() -> None:
    truth = _truth(400)
    after = answers(LABELS, flipped(truth, range(30), 2))
    live = answers(LABELS, flipped(truth, range(300, 400), 2), name="reviews@1")
    found = judged(LABELS, truth, after, {"live": live})
    assert decide(found).promote
    decision = decide(found, forgetting=_forgetting(range(30), range(300, 400)))
    assert not decision.promote
    assert _codes(decision, "against") == {"gate.forgot"}
    assert "1.0 points that an update may lose" in decision.sentences("en")[0]
    assert decide(found, forgetting=_forgetting(range(0), range(300, 400))).promote
    allowed = SETTINGS.model_copy(update={"forget_margin": 1.0})
    lenient = judged(LABELS, truth, after, {"live": live}, settings=allowed)
    assert decide(lenient, forgetting=_forgetting(range(30), range(300, 400))).promote


def test_a_stage_that_lacks_the_new_label_need_not_be_beaten_on_the_others() -> None:
    """Equal to the baseline on the labels that this knows: refused, unless one is new."""
    truth = np.concatenate([_truth(300), np.full(30, 2)])
    labels = (*LABELS, "so-so")
    new = answers(labels, flipped(truth, range(30), 2))
    known = np.where(truth == 2, 0, truth)
    live = answers(LABELS, flipped(known, range(40), 2), name="reviews@1")
    plain = answers(LABELS, flipped(known, range(29), 2), name="reviews@0", method="linear")
    found = judged(labels, truth, new, {"live": live, "baseline": plain})
    decision = decide(found)
    assert decision.promote
    assert "gate.rung_lacks" in _codes(decision, "note")
    far = answers(LABELS, flipped(known, range(5), 2), name="reviews@0", method="linear")
    lost = decide(judged(labels, truth, new, {"live": live, "baseline": far}))
    assert "evaluation.gate_rung_loses" in _codes(lost, "against")


def test_a_loss_that_is_merely_likely_is_told_and_refuses_nothing() -> None:
    """Of 300 earlier rows 25 turned wrong and 20 right: more than a point, and maybe chance."""
    found = _against(400, range(45), range(300, 400))
    likely = _forgetting(range(25), range(280, 400))
    assert likely.risk > 0.5
    assert likely.p is not None
    assert likely.p > 0.05
    decision = decide(found, forgetting=likely)
    assert decision.promote
    assert "gate.may_have_forgotten" in _codes(decision, "note")
    for lang, words in (("en", "and not proven"), ("zh", "尚不能证明")):
        assert any(words in one for one in decision.sentences(lang))


def test_few_earlier_rows_refuse_nothing() -> None:
    assert forgot(-0.5, 0.001, 20, 0.01, 0.95)
    assert not forgot(-0.5, 0.001, 19, 0.01, 0.95)
    assert not forgot(-0.01, 0.001, 3000, 0.01, 0.95), "proven, and within what may be lost"
    assert not forgot(-0.5, None, 300, 0.01, 0.95), "a report of before has no p-value"


def test_decisions_travel_and_speak_both_languages() -> None:
    found = _against(30, range(6), range(2, 8))
    decision = decide(found)
    again = Decision.from_json(json.loads(json.dumps(decision.to_json())))
    assert again == decision
    for lang, word in (("en", "Cannot tell yet"), ("zh", "还无法判断")):
        assert word in headline(found, decision, lang)
        text = paragraph(found, decision, lang)
        assert "{" not in text
        assert "reviews@2" in text
    assert ". " not in paragraph(found, decision, "zh").replace("feilun data", "")


def test_lists_survive_the_journey() -> None:
    labels = ("a", "b", "c")
    truth = np.array([0] * 20 + [1] * 2 + [2] * 2)
    decision = decide(judged(labels, truth, answers(labels, np.zeros(24, dtype=int))))
    again = Decision.from_json(json.loads(json.dumps(decision.to_json())))
    assert again == decision
    assert any("b、c" in line for line in again.sentences("zh"))


@pytest.mark.parametrize("primary", ["f1", "log_loss"])
def test_other_primary_metrics_are_weighed_too(primary: str) -> None:
    truth = _truth(400)
    good = answers(LABELS, flipped(truth, range(40), 2))
    bad = answers(LABELS, flipped(truth, range(100), 2), name="reviews@1")
    up = decide(judged(LABELS, truth, good, {"live": bad}, primary=primary))
    down = decide(judged(LABELS, truth, bad, {"live": good}, primary=primary))
    assert (up.promote, up.verdict) == (True, "better")
    assert (down.promote, down.verdict) == (False, "worse")


def _cheaper(found: Evaluation, cost: float) -> Evaluation:
    return replace(found, saving=Saving(cost, 1.0, "USD"))


def test_what_is_as_good_and_clearly_cheaper_goes_live() -> None:
    """Two rows of 3,000 lost: no gain is to be expected, and no loss of a point either."""
    found = _against(3000, range(302), range(300))
    assert found.within
    assert not decide(found).promote
    decision = decide(_cheaper(found, 0.5))
    assert (decision.promote, decision.verdict) == (True, "cheaper")
    assert _codes(decision, "for") == {"gate.saves"}
    said = {lang: decision.sentences(lang)[0] for lang in ("en", "zh")}
    assert "cost 0.5 USD instead of 1, 50.0% less" in said["en"]
    assert "−0.1 points" in said["en"]
    assert "0.5 USD，节省 50.0%" in said["zh"]
    cheap = _cheaper(found, 0.5)
    assert "clearly cheaper" in headline(cheap, decision, "en")
    assert "更便宜" in headline(cheap, decision, "zh")
    assert "cost 50.0% less" in founder(cheap, decision, lang="en")
    assert Evaluation.from_json(json.loads(json.dumps(cheap.to_json()))) == cheap


def test_too_small_a_saving_or_a_loss_that_is_not_ruled_out_stays_out() -> None:
    found = _against(3000, range(302), range(300))
    little = decide(_cheaper(found, 0.8))
    assert not little.promote
    assert "gate.saves_little" in _codes(little, "note")
    assert not decide(_cheaper(found, 1.5)).promote
    few = _against(60, range(6), range(6))
    assert not few.within, "60 rows on which nothing differs rule no loss of a point out"
    assert not decide(_cheaper(few, 0.1)).promote
    worse = _against(3000, range(340), range(300))
    assert not decide(_cheaper(worse, 0.1)).promote


def test_equal_answers_at_a_lower_cost_go_live() -> None:
    found = _against(3000, range(300), range(300))
    assert decide(found).sentences("en")[0].endswith("there is nothing to gain.")
    decision = decide(_cheaper(found, 0.5))
    assert (decision.promote, decision.verdict) == (True, "cheaper")
    assert "clearly cheaper" in headline(_cheaper(found, 0.5), decision, "en")


def test_small_losses_of_cheaper_versions_do_not_add_up() -> None:
    """As good as the live version, and shown to be; not as good as the best that was ever live."""
    truth = _truth(3000)
    given = {
        name: answers(LABELS, flipped(truth, range(wrong), 2), name=name)
        for name, wrong in (("reviews@3", 322), ("reviews@2", 316), ("reviews@1", 300))
    }
    rivals = {"live": given["reviews@2"]}
    alone = _cheaper(judged(LABELS, truth, given["reviews@3"], rivals), 0.5)
    assert decide(alone).promote
    rivals["best"] = given["reviews@1"]
    held = _cheaper(judged(LABELS, truth, given["reviews@3"], rivals), 0.5)
    assert held.against("live").beyond <= 0.025 < held.against("best").beyond
    assert not decide(held).promote
    kept = answers(LABELS, flipped(truth, range(318), 2), name="reviews@3")
    rivals["best"] = answers(LABELS, flipped(truth, range(317), 2), name="reviews@1")
    good = decide(_cheaper(judged(LABELS, truth, kept, rivals), 0.5))
    assert "gate.best_kept" in _codes(good, "note")
    assert good.promote


def test_the_luck_of_many_cheaper_candidates_is_taken_off() -> None:
    first = _against(3000, range(314), range(300))
    tenth = _against(3000, range(314), range(300), consultations=Consultations(10, 10))
    assert first.within
    assert not tenth.within
