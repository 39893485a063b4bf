"""Written answers: what counts as right, how far off the others are, and when none is given."""

from __future__ import annotations

import numpy as np
import pytest

from feilun.config import ProjectConfig, ServingConfig
from feilun.errors import InvalidData
from feilun.families.base import Answers
from feilun.families.generation import GENERATION, Written, objects
from feilun.metrics.comparison import scores, values
from feilun.metrics.texts import Texts, alike, chrf
from feilun.types import Schema

CONFIG = ProjectConfig.model_validate({"project": {"name": "shop", "task": "chat"}})


def test_chrf_is_that_of_the_paper() -> None:
    """By hand: unigrams 2 of 3 and 2 of 4, bigrams 1 of 2 and 1 of 3, trigrams 0 of 1 and 0 of 2;
    the truth's single 4-gram has nothing beside it."""
    precision = (2 / 3 + 1 / 2 + 0) / 3
    recall = (2 / 4 + 1 / 3 + 0) / 3
    assert chrf("abcd", "abx") == pytest.approx(5 * precision * recall / (4 * precision + recall))
    assert chrf("免费 配送", "免费配送") == 1.0
    assert chrf("yes", "") == chrf("", "yes") == 0.0
    # What is missing costs more than what is too much.
    assert chrf("open from nine", "open from nine to five") > chrf("open from nine to five", "open")


def test_rows_weigh_as_they_are_drawn() -> None:
    truth = ["We open at nine.", "退货免费", "No."]
    told = Texts(truth, ["we open  at NINE.", "退货不免费", ""], [True, True, False])
    found = values(told)
    assert found["exact_match"] == pytest.approx(1 / 3)
    assert found["answered"] == pytest.approx(2 / 3)
    assert (told.each[2], told.each.argmax()) == (0.0, 0)
    for row in range(3):
        weights = np.eye(3)[[row]]
        mask = np.arange(3) == row
        assert told.replicates(weights)["chrf"] == pytest.approx(told.each[row])
        assert values(told.take(mask))["exact_match"] == float(told.hits("exact_match")[row])  # type: ignore[index]
    intervals = scores(told, resamples=200)
    for name, score in intervals.items():
        assert score is not None
        assert score.low <= found[name] <= score.high  # type: ignore[operator]


def test_case_width_and_space_make_no_difference() -> None:
    assert alike(" Ｙes,\nplease", "yes, please")
    assert not alike("yes", "yes.")


@pytest.mark.parametrize("value", [b"x", ["a"], {"a": 1}, True])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidData):
        GENERATION.target(value)


def test_targets_are_what_a_database_takes() -> None:
    assert GENERATION.target(" a\0b\ud800 ") == "ab\ufffd"
    assert GENERATION.target(12) == "12"
    assert GENERATION.target("\u200b \ufeff\n\u2060") is None  # nobody sees anything of it
    assert GENERATION.target("👍🏽") == "👍🏽"
    with pytest.raises(InvalidData, match="100000"):
        GENERATION.target("x" * 100_001)


def _raw(*rows: tuple[str, float]) -> np.ndarray:
    return objects([Written(text, sure, "I do not know.") for text, sure in rows])


def test_the_threshold_lies_where_right_answers_end() -> None:
    right = [("nine to five", 0.9 - place / 100) for place in range(12)]
    wrong = [("no idea at all", 0.3 - place / 100) for place in range(5)]
    raw = _raw(*right, *wrong)
    truth = objects(["nine to five"] * len(raw))
    point, _ = GENERATION.calibrate(raw, truth, (), CONFIG)
    assert point == {"least": 0.79}
    answer = GENERATION.decoder(Schema("chat", ()), point)
    assert answer(_raw(("nine", 0.79)), False) == [{"generated_text": "nine", "score": 0.79}]
    unsure = {"generated_text": "I do not know.", "score": 0.5, "abstained": True}
    assert answer(_raw(("nine", 0.5)), False) == [unsure]
    told = values(GENERATION.measured(truth, raw, (), point))
    assert told["answered"] == told["exact_match"] == pytest.approx(12 / 17)


def test_the_threshold_may_be_asked_for() -> None:
    raw = _raw(*[("yes", 1 - place / 100) for place in range(20)])
    truth = objects(["yes", "no"] * 10)
    fixed = CONFIG.model_copy(update={"serving": ServingConfig(abstain_below=0.4)})
    assert GENERATION.calibrate(raw, truth, (), fixed)[0] == {"least": 0.4}
    half = CONFIG.model_copy(update={"serving": ServingConfig(abstain_for=0.5)})
    assert GENERATION.calibrate(raw, truth, (), half)[0] == {"least": 0.81}
    assert GENERATION.calibrate(raw[:5], truth[:5], (), CONFIG)[0] == {"least": 0.25}
    silent = objects([Written("yes")] * 20)  # of a model that cannot say how sure it is
    assert GENERATION.calibrate(silent, truth, (), CONFIG)[0] == {}


def test_two_versions_are_compared_row_by_row() -> None:
    truth = objects(["nine to five", "free of charge"])
    new = Answers("a@2", "m", (), _raw(("nine to five", 1.0), ("never", 0.9)))
    old = Answers("a@1", "m", (), _raw(("nine", 1.0), ("free", 0.9)))
    sheet = GENERATION.sheet(new, {"live": old}, truth, ())
    won, lost = sheet.better("live")
    assert (won.tolist(), lost.tolist()) == ([True, False], [False, True])
    assert sheet.spoken(1) == ("free of charge", "free", "never")
    count, worst = sheet.errors(5)
    assert (count, [one.row for one in worst]) == (1, [1])
