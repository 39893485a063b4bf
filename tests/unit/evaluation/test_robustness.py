"""Robustness counts what a change touches, row by row, and the verdict speaks of large drops."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from feilun.evaluation.gate import decide
from feilun.evaluation.report import write_report
from feilun.evaluation.robustness import Robustness, robustness
from feilun.evaluation.view_robustness import sentence
from feilun.families.classes import CLASSES
from feilun.modalities.noise import Disturbance, by_name
from feilun.tasks.base import get
from feilun.types import Item, Output
from helpers.judged import answers, judged

ITEMS = [f"row {n}" if n % 2 else f"ROW {n}" for n in range(200)]
TRUTH = np.array([n % 3 for n in range(200)])
CHANGES = by_name(
    [
        Disturbance("upper", lambda item, draw: str(item).upper()),
        Disturbance("none", lambda item, draw: item),
        Disturbance("harmless", lambda item, draw: f"{item}!"),
        Disturbance("unsafe", lambda item, draw: "", safe=False),
    ]
)


def said(given: Sequence[int] | np.ndarray) -> list[Output]:
    """Labels as outputs."""
    return [{"label": str(int(one)), "score": 1.0} for one in given]


def targets(truth: np.ndarray) -> list[str | None]:
    """Labels as targets, none for -1."""
    return [str(one) if one >= 0 else None for one in truth.tolist()]


def answer(items: Sequence[Item]) -> list[Output]:
    """Right on small letters; of capitals every fourth row goes wrong. Marks do not matter."""
    found = []
    for item in items:
        text = str(item).rstrip("!")
        number = int(text.split()[1])
        wrong = text.startswith("ROW") and number % 2 and number % 4 == 3
        found.append((number % 3 + 1) % 3 if wrong else number % 3)
    return said(found)


def measured(**more: int) -> Robustness:
    found = robustness(
        answer,
        ITEMS,
        targets(TRUTH),
        said(TRUTH),
        CLASSES,
        CHANGES,
        limit=more.get("limit", 500),
    )
    assert found is not None
    return found


def test_only_rows_that_change_count_and_the_worst_comes_first() -> None:
    found = measured()
    assert [one.name for one in found.falls] == ["upper", "harmless"]
    upper, harmless = found.falls
    assert (upper.rows, upper.turned) == (100, 50)
    assert upper.change.value == -0.5
    assert upper.change.high < 0
    assert upper.before.value == 1
    assert (harmless.rows, harmless.change.value) == (200, 0)
    assert (upper.was.text, upper.became.text) == ("row 3", "ROW 3"), "the example is a row lost"


def test_a_sample_is_drawn_by_the_seed_and_unlabelled_rows_are_left_out() -> None:
    truth = np.where(np.arange(200) < 100, TRUTH, -1)
    found = robustness(
        answer, ITEMS, targets(truth), said(TRUTH), CLASSES, CHANGES, limit=40, seed=3
    )
    again = robustness(
        answer, ITEMS, targets(truth), said(TRUTH), CLASSES, CHANGES, limit=40, seed=3
    )
    other = robustness(
        answer, ITEMS, targets(truth), said(TRUTH), CLASSES, CHANGES, limit=40, seed=4
    )
    assert found == again != other
    assert found is not None
    assert (found.rows, found.of) == (40, 100)
    nothing = robustness(answer, ITEMS, [None] * 200, said(TRUTH), CLASSES, CHANGES, limit=40)
    assert nothing is None


def test_the_verdict_names_large_drops_and_keeps_silent_about_small_ones() -> None:
    found = measured()
    assert [one.name for one in found.large()] == ["upper"]
    assert "50.0%" in sentence(found, "en")
    assert "−50.0 points" in sentence(found, "en")
    assert "upper" in sentence(found, "zh")
    harmless = {"harmless": CHANGES["harmless"]}
    small = robustness(answer, ITEMS, targets(TRUTH), said(TRUTH), CLASSES, harmless, limit=500)
    assert sentence(small) == sentence(None) == ""


def test_it_travels_as_json_and_stands_in_the_report(tmp_path) -> None:
    found = measured()
    assert Robustness.from_json(json.loads(json.dumps(found.to_json()))) == found
    labels = ("bad", "fine", "good")
    evaluation = judged(labels, TRUTH, answers(labels, TRUTH))
    page = write_report(evaluation, decide(evaluation), tmp_path, robustness=found)
    text = page.read_text("utf-8")
    assert "When inputs are less clean" in text
    assert "输入不那么干净时" in text
    assert text.count("−50.0") > 2, "in the table and in the verdict"
    raw = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert Robustness.from_json(raw["robustness"]) == found
    assert "upper" in raw["verdict"]["en"]["robustness"]
    without = write_report(evaluation, decide(evaluation), tmp_path / "other").read_text("utf-8")
    assert "When inputs are less clean" not in without


def test_real_changes_are_tried_on_real_texts() -> None:
    items = ["The tea is lovely, will buy again.", "味道很好，值得购买。"] * 20
    changes = get("text-classification").disturbances()
    zeros, given = ["0"] * 40, said([0] * 40)
    found = robustness(
        lambda texts: given[: len(texts)],
        items,
        zeros,
        given,
        CLASSES,
        changes,
        limit=99,
    )
    assert found is not None
    touched = {one.name: one.rows for one in found.falls}
    assert touched["typo"] == touched["width"] == touched["punctuation"] == 40
    assert touched["case"] == touched["script"] == 20
    assert "words" not in touched


def test_an_attack_tries_right_answers_until_one_turns() -> None:
    """A model that answers by the last word is turned by any swap of the last two, one that reads
    what is there at all by none."""
    items = ["fine plot, weak end, good", "fine plot, weak end, bad"] * 30
    truth = ["good", "bad"] * 30
    swaps = {"swaps": get("text-classification").disturbances()["swaps"]}
    places = [int(one == "good") for one in truth]
    names = [str(one) for one in places]
    asked: list[int] = []

    def by_the_last(texts: Any) -> Any:
        asked.append(len(texts))
        return said([int(str(text).endswith("good")) for text in texts])

    found = robustness(by_the_last, items, names, said(places), CLASSES, swaps, limit=60)
    assert found is not None
    [fall] = found.falls
    assert fall.draws == 8
    assert fall.before.value == 1
    assert fall.after.value < 0.8
    assert asked[0] == 60, "all that were right"
    assert asked == sorted(asked, reverse=True), "who has turned is not asked again"
    assert not found.large(), "an attack finds something in every model"
    whole = robustness(
        lambda texts: said([int("good" in str(text)) for text in texts]),
        items, names, said(places), CLASSES, swaps, limit=60,
    )  # fmt: skip
    assert whole is not None
    assert whole.falls[0].change.value == 0
