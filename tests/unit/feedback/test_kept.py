"""Which calls that another server answered become rows, and which of them may judge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from feilun.feedback.kept import SOURCE, corrected, kept_calls
from feilun.feedback.to_data import Learned
from feilun.store.drawn import DRAWN
from feilun.store.drawn import SOURCE as FEEDBACK
from feilun.store.ledger_records import Prediction
from feilun.types import Example

CALL = Prediction(
    prediction_id="pred_1",
    index=0,
    input="How much is the lamp?",
    output={"generated_text": "3 euros.", "finish_reason": "stop"},
    label="3 euros.",
    score=None,
    margin=None,
    model_version="support@1",
    project="support",
    customer="cus_1",
    key_id="key_1",
    expires=None,
    stored=True,
)
PASSED: Any = {
    "support@1": lambda item, output: True,
    "support@2": lambda item, output: False if output.get("passed_on") else None,
}


def _said(call: Prediction, **output: Any) -> Prediction:
    return replace(call, output={**call.output, **output})


def test_a_whole_answer_of_the_other_server_is_a_row() -> None:
    (one,) = kept_calls([CALL], PASSED)
    row = one.example
    assert (row.item, row.label, row.source) == (CALL.input, CALL.label, SOURCE)
    assert row.subject == "cus_1"
    assert one.drawn


def test_what_teaches_nothing_is_none() -> None:
    calls = [
        _said(CALL, finish_reason="length"),
        _said(CALL, tool_calls=[{"id": "1"}]),
        _said(CALL, abstained=True),
        replace(CALL, label=""),
        replace(CALL, input=None),
        replace(CALL, model_version="support@7"),
        replace(CALL, model_version="support@2"),  # answered here
    ]
    assert not kept_calls(calls, PASSED)


def test_the_newest_answer_to_a_question_stands() -> None:
    newer = replace(CALL, label="4 euros.", prediction_id="pred_2")
    (one,) = kept_calls([newer, CALL], PASSED)
    assert one.example.label == "4 euros."


def test_calls_that_were_passed_on_for_being_hard_do_not_judge() -> None:
    hard = replace(_said(CALL, passed_on=True), model_version="support@2")
    (one,) = kept_calls([hard], PASSED)
    assert not one.drawn
    (both,) = kept_calls([hard, CALL], PASSED)
    assert both.drawn, "it was drawn, too, while all calls were passed on"


def test_a_correction_takes_the_place_of_the_answer_and_the_row_stays_drawn() -> None:
    calls = kept_calls([CALL, replace(CALL, input="Where are you?", label="Here.")], PASSED)
    word = Learned(Example("fb_1", CALL.input, "5 euros.", source=FEEDBACK), ("fb_1",), "customer")
    other = Learned(Example("fb_2", "When?", "Now.", source=DRAWN), ("fb_2",), "reviewer")
    found, left = corrected(calls, [word, other])
    assert [one.example.label for one in found] == ["5 euros.", "Here."]
    assert [one.feedback_ids for one in found] == [("fb_1",), ()]
    assert all(one.drawn for one in found)
    assert left == [other]
