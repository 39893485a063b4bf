"""Tags: how people write them, targets and answers, thresholds, scores, sheets; the method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, hamming_loss

from feilun.config import EvaluationConfig, ProjectConfig
from feilun.data.reading import read
from feilun.data.sources import BadRow, Source
from feilun.errors import InvalidData
from feilun.families.base import Answers
from feilun.families.tags import TAGS, tags_of
from feilun.families.tags.decisions import best_threshold
from feilun.metrics.comparison import scores, values
from feilun.metrics.tags import Tags
from feilun.tasks import base
from feilun.training import one_vs_rest
from feilun.types import Schema

TASK = base.get("text-tagging")
BOTH = '["late","refund"]'
LABELS = ("damaged", "late", "refund")
CONFIG = ProjectConfig.model_validate({"project": {"name": "tags", "task": "text-tagging"}})


@pytest.mark.parametrize(
    "given",
    [
        BOTH,
        '[ "refund", "late" ]',
        "['refund', 'late']",  # as pandas writes a list
        ["refund", "late", " late "],
        "late|refund",
        "refund; late;",
        "refund，late",
        "late、refund",
        "late#refund",
        "#late #refund",
        "late\nrefund",
        {"tags": [{"label": "refund", "score": 0.9}, {"label": "late", "score": 0.6}]},
        {"late": 1, "refund": "yes", "damaged": 0},
        {"late": "是", "refund": True, "damaged": "否"},
        {"late": "✓", "refund": "x", "damaged": "-"},
    ],
)
def test_every_way_of_writing_tags_is_one_target(given: Any) -> None:
    assert TAGS.target(given) == BOTH


def test_what_is_one_tag_stays_one() -> None:
    assert TAGS.target("C#") == '["C#"]'
    assert TAGS.target("food, drink|travel") == '["food, drink","travel"]'
    assert TAGS.target(["food, drink"]) == '["food, drink"]'
    assert TAGS.target("退款") == '["退款"]'
    assert TAGS.target(3.0) == '["3"]'
    assert TAGS.target([]) == TAGS.target("[]") == TAGS.target({"late": 0, "refund": ""}) == "[]"
    assert TAGS.target({"late": None, "refund": float("nan")}) is TAGS.target("") is None
    assert TAGS.names([BOTH, "[]", '["damaged"]']) == LABELS


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ('["late"', "tags.not_json"),
        ("[late]", "tags.not_json"),
        (b"late", "tags.not_a_list"),
        ([["late"]], "tags.no_name"),
        ([True], "tags.no_name"),
        ([" "], "tags.empty_name"),
        ({"late": "perhaps", "refund": 1}, "tags.not_yes_no"),
        (["a" * 101], "tasks.label_too_long"),
    ],
)
def test_what_is_no_target_is_refused_with_its_reason(given: Any, code: str) -> None:
    with pytest.raises(InvalidData) as caught:
        TAGS.target(given)
    assert caught.value.code == code
    assert caught.value.message("en") != caught.value.message("zh")


def _read(folder: Path, name: str, text: str, **options: Any) -> tuple[list[Any], list[BadRow]]:
    file = folder / name
    file.write_text(text, "utf-8")
    bad: list[BadRow] = []
    rows = list(read(Source(file), TASK, bad=bad.append, **options))
    return [(one.item, tags_of(one.label or "")) for one in rows], bad


ROWS = [("The box was torn.", ("damaged",)), ("Two weeks, money back!", ("late", "refund")),
        ("很好。", ())]  # fmt: skip
NAMES = [
    ("The box was torn.", "damaged"),
    ("Two weeks, money back!", "late|refund"),
    ("很好。", ""),
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("flags.csv", "text,damaged,late,refund\n{0},1,0,0\n{1},0,1,1\n{2},0,0,0\n"),
        ("words.csv", "评论,damaged,late,refund\n{0},是,否,否\n{1},否,是,是\n{2},否,否,否\n"),
        ("marks.csv", "text,damaged,late,refund\n{0},x,,\n{1},,x,x\n{2},,,\n"),
        ("bools.csv", "text,damaged,late,refund\n{0},True,False,F\n{1},False,True,T\n{2},0,0,0\n"),
        ("list.csv", "text,tags\n{0},\"[\"\"damaged\"\"]\"\n{1},\"['late', 'refund']\"\n{2},[]\n"),
        ("sign.csv", "内容,标签\n{0},damaged\n{1},late;refund\n{2},[]\n"),
        ("doccano.csv", "id,data,label\n1,{0},damaged\n2,{1},late#refund\n3,{2},[]\n"),
    ],
)  # fmt: skip
def test_files_of_every_kind_are_the_same_rows(tmp_path: Path, name: str, text: str) -> None:
    quoted = ('"' + one[0] + '"' for one in ROWS)
    assert _read(tmp_path, name, text.format(*quoted)) == (ROWS, [])


def test_json_of_every_kind_is_the_same_rows(tmp_path: Path) -> None:
    lines = [{"text": text, "labels": list(tags)} for text, tags in ROWS]
    jsonl = "\n".join(json.dumps(one, ensure_ascii=False) for one in lines)
    assert _read(tmp_path, "rows.jsonl", jsonl) == (ROWS, [])
    doccano = [
        {"id": n, "text": one["text"], "label": one["labels"]} for n, one in enumerate(lines)
    ]
    assert _read(tmp_path, "doccano.json", json.dumps(doccano)) == (ROWS, [])
    studio = [
        {
            "id": number,
            "data": {"text": text},
            "annotations": [
                {
                    "result": [
                        {"from_name": "topics", "type": "choices", "value": {"choices": list(tags)}}
                    ]
                    if tags
                    else []
                }
            ],
        }
        for number, (text, tags) in enumerate(ROWS)
    ]
    assert _read(tmp_path, "studio.json", json.dumps(studio)) == (ROWS, [])


def test_columns_that_the_user_names_are_the_tags(tmp_path: Path) -> None:
    text = "text,label,late,refund,paid\na b,7,1,0,1\nc d,8,0,1,1\ne f,9,perhaps,1,0\n"
    rows, bad = _read(tmp_path, "rows.csv", text, columns={"label": "late, refund"})
    assert rows == [("a b", ("late",)), ("c d", ("refund",))]
    assert [(one.number, one.code) for one in bad] == [(3, "tags.not_yes_no")]
    assert bad[0].params["column"] == "late"
    with pytest.raises(InvalidData) as caught:
        _read(tmp_path, "rows.csv", text, columns={"label": "late,absent"})
    assert caught.value.code == "data.unknown_column"


def test_a_file_without_tags_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData) as caught:
        _read(tmp_path, "rows.csv", "text,price\na good one,3.5\nanother,4.5\n")
    assert caught.value.code == "data.no_label"


# Answers


SCHEMA = Schema("text-tagging", LABELS, {})


def _raw(*rows: list[float]) -> np.ndarray:
    chances = np.array(rows)
    found: np.ndarray = np.log(chances / (1 - chances)).astype(np.float32)
    return found


def test_an_answer_lists_the_tags_that_reach_their_thresholds() -> None:
    point = {"threshold": 0.5, "thresholds": {"late": 0.2}}
    raw = _raw([0.6, 0.3, 0.1], [0.1, 0.1, 0.1])
    first, second = TAGS.decoder(SCHEMA, point)(raw, True)
    assert [one["label"] for one in first["tags"]] == ["damaged", "late"]
    assert [one["score"] for one in first["tags"]] == pytest.approx([0.6, 0.3])
    assert first["score"] == pytest.approx(0.5 + 0.5 * 0.1 / 0.8)  # of `late`
    assert first["scores"]["refund"] == pytest.approx(0.1)
    assert second["tags"] == []
    assert TAGS.said(first) == '["damaged","late"]'
    assert TAGS.said(second) == "[]"
    assert "scores" not in TAGS.public(first, everything=False)
    contrast = TAGS.contrast(SCHEMA, point, first, "refund")
    assert contrast is not None
    assert contrast.measure(first) == pytest.approx(float(raw[0] @ contrast.direction))
    assert TAGS.contrast(SCHEMA, point, first).answer == "damaged"  # type: ignore[union-attr]


def test_a_threshold_is_that_of_the_best_f1() -> None:
    lots = np.random.default_rng(0)
    marks = lots.random(300) < 0.2
    chances = np.clip(0.3 * marks + lots.normal(0.2, 0.12, 300), 0.001, 0.999).round(2)
    found = best_threshold(chances, marks)
    best = max(f1_score(marks, chances >= limit) for limit in np.arange(0.005, 1, 0.01))
    assert f1_score(marks, chances >= found) == pytest.approx(best)


def test_rare_tags_share_a_threshold() -> None:
    lots = np.random.default_rng(1)
    truth = np.zeros((200, 4), np.int16)
    truth[:60, 0] = truth[40:80, 1] = truth[:3, 2] = 1
    raw = _raw(*np.clip(truth[:, :3] * 0.4 + lots.uniform(0.05, 0.5, (200, 3)), 0.01, 0.99))
    point, notes = TAGS.calibrate(raw, truth, LABELS, CONFIG)
    assert set(point["thresholds"]) == {"damaged", "late"}
    assert 0.05 <= point["threshold"] <= 0.95
    assert "refund" in notes[0]
    few, notes = TAGS.calibrate(raw[:3], np.zeros((3, 4), np.int16), LABELS, CONFIG)
    assert (few, notes) == (TAGS.neutral(), [])


# Scores


def test_scores_are_those_of_scikit_learn() -> None:
    lots = np.random.default_rng(2)
    truth, answers = (
        np.column_stack([lots.random((90, 5)) < 0.3, np.zeros(90)]).astype(np.int16)
        for _ in range(2)
    )
    measured = Tags(truth, answers)
    found = values(measured)
    true, given = truth[:, :5], answers[:, :5]
    assert found == pytest.approx(
        {
            "micro_f1": f1_score(true, given, average="micro"),
            "macro_f1": f1_score(true, given, average="macro"),
            "subset_accuracy": accuracy_score(true, given),
            "hamming_loss": hamming_loss(true, given),
        }
    )
    weights = lots.integers(0, 3, (4, 90)).astype(np.float32)
    drawn = measured.replicates(weights)
    for place, row in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(90), row)
        again = values(Tags(truth[rows], answers[rows]))
        assert {name: drawn[name][place] for name in again} == pytest.approx(again)
    for name, score in scores(measured, resamples=200).items():
        assert score is not None, name
        assert score.low < score.value < score.high
    first = measured.each()[0]
    assert first[5] is not None
    assert first[5].value == pytest.approx(f1_score(true[:, 0], given[:, 0]))


def test_tags_that_a_model_does_not_know_are_missed() -> None:
    truth = TAGS.truth([BOTH, '["late"]', None], ("late",))
    assert truth.tolist() == [[1, 1], [1, 0], [-1, -1]]
    assert TAGS.known(truth).tolist() == [True, True, False]
    measured = TAGS.measured(truth[:2], _raw([0.9], [0.9]), ("late",), TAGS.neutral())
    assert values(measured)["micro_f1"] == pytest.approx(2 * 2 / (3 + 2))
    assert values(measured)["subset_accuracy"] == 0.5


def _answers(name: str, *rows: list[float], labels: tuple[str, ...] = LABELS) -> Answers:
    return Answers(name, "linear", labels, _raw(*rows), TAGS.neutral())


def test_a_sheet_compares_versions_row_by_row() -> None:
    truth = TAGS.truth([BOTH, BOTH, "[]"], LABELS)
    new = _answers("a@2", [0.1, 0.9, 0.9], [0.1, 0.9, 0.2], [0.1, 0.1, 0.1])
    live = _answers("a@1", [0.9], [0.9], [0.1], labels=("late",))
    sheet = TAGS.sheet(new, {"live": live}, truth, LABELS)
    assert [one.tolist() for one in sheet.better("live")] == [[True, False, False], [False] * 3]
    assert sheet.comparable("live")[0] == ("damaged", "refund")
    assert sheet.comparable("live")[1].tolist() == [False, False, True]
    assert sheet.spoken(0) == ("late, refund", "late", "late, refund")
    count, (worst,) = sheet.errors(5)
    assert (count, worst.row, worst.truth, worst.answer) == (1, 1, "late, refund", "late")
    details = sheet.details(EvaluationConfig(), {}, 0)
    assert [one.label for one in details["tags"]] == ["late", "refund", "damaged"]
    assert details["constant"] == ("late", "refund")
    assert details["floor"] == pytest.approx(2 * 4 / (6 + 4))


# Division and learning


def test_every_set_is_divided_with_its_rarest_tag() -> None:
    found = TAGS.strata({'["a","b"]': 3, '["a"]': 90, '["b","c"]': 1, "[]": 5, "a": 0})
    assert found == ["b", "a", "c", "", ""]
    assert TAGS.stratum('["a","b","c","d"]') == "a + b + c +1"


def test_one_fit_for_all_tags_is_as_good_as_one_for_each() -> None:
    lots = np.random.default_rng(3)
    rows = lots.normal(size=(300, 12)).astype(np.float32)
    marks = (rows @ lots.normal(size=(12, 3)) + lots.normal(size=(300, 3)) > 0.5).astype(np.int16)
    heard: list[int] = []
    fitted = one_vs_rest.fit(rows, marks, tick=lambda done, total: heard.append(total - done))
    assert heard[-1] == 0
    for tag in range(3):
        model = LogisticRegression(C=fitted.strength, tol=1e-6, max_iter=1000)
        model.fit(rows, marks[:, tag])
        ours = rows @ fitted.coef[tag] + fitted.intercept[tag]
        assert ours == pytest.approx(model.decision_function(rows), abs=0.1)


def test_a_tag_that_no_row_has_is_unlikely() -> None:
    rows = np.random.default_rng(4).normal(size=(40, 3)).astype(np.float32)
    marks = np.zeros((40, 2), np.int16)
    marks[:20, 0] = 1
    fitted = one_vs_rest.fit(rows, marks, strengths=(1.0,))
    assert (rows @ fitted.coef[1] + fitted.intercept[1]).max() < -2


def test_tags_that_are_called_otherwise() -> None:
    names = {"late": "delay", "slow": "delay"}
    assert TAGS.relabelled('["late","slow","torn"]', names) == '["delay","torn"]'
    assert TAGS.relabelled('["late"]', {}, ("late",)) == "[]"
    answers = Answers("a@1", "linear", ("late", "slow", "torn"), _raw([0.3, 0.4, 0.6]),
                      {"threshold": 0.5, "thresholds": {"late": 0.2}})  # fmt: skip
    one = TAGS.renamed(answers, ("delay", "delay", "torn"))
    (output,) = TAGS.decoder(Schema(TASK.name, one.labels, {}), one.point)(one.raw, False)
    assert TAGS.said(output) == '["delay","torn"]'
    assert TAGS.renamed(answers, answers.labels) is answers


def test_what_the_tags_of_all_rows_show() -> None:
    tally = TAGS.tally()
    tally.add('["a","b","shop"]', 30)
    tally.add('["c","shop"]', 25)
    tally.add('["rare","shop"]', 3)
    found = {one.code: one for one in tally.findings()}
    assert found["tags_together"].params["pairs"] == ["a = b"]
    assert found["tags_everywhere"].params["labels"] == ["shop"]
    assert found["rare_tags"].params["hopeless"] == 1
    assert found["rare_tags"].params["labels"][0] == "rare (3)"
    codes = [code for code, _ in TAGS.notices({"train": {'["a","b"]': 9, "[]": 1}})]
    assert codes == ["tags.always_together"]
