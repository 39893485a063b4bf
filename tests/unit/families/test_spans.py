"""Spans: targets, answers and how they are compared; texts as tokens and tags; the method."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feilun.config import EvaluationConfig
from feilun.data.reading import read
from feilun.data.sources import BadRow, Source
from feilun.engines.base import open_engine
from feilun.engines.crf import MODEL
from feilun.errors import CorruptArtifact, InvalidData
from feilun.families.base import Answers
from feilun.families.spans import SPANS, Found, spans_of
from feilun.metrics.comparison import values
from feilun.modalities.text import sequence
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base
from feilun.training.job import DataStats, Machine, TrainJob
from feilun.training.methods import crf, linear
from feilun.training.settings import methods_for
from feilun.types import Example, Schema

TASK = base.get("token-classification")
MARIA = '[{"start":0,"end":5,"label":"PER"}]'


@pytest.mark.parametrize(
    "given",
    [
        MARIA,
        '[ {"label": "PER", "end": 5, "start": 0} ]',
        [{"start": 0, "end": 5, "label": "PER"}],
        [[0, 5, "PER"]],
        [{"start_offset": 0, "end_offset": 5.0, "label": " PER ", "id": 3}],
        [{"start": 0, "end": 5, "text": "Maria", "labels": ["PER"]}],
        {
            "entities": [
                {"entity_group": "PER", "score": 0.9, "word": "Maria", "start": 0, "end": 5}
            ]
        },
        [[0, 5, "PER"], [0, 5, "PER"]],
    ],
)
def test_every_way_of_writing_spans_is_one_target(given: Any) -> None:
    assert SPANS.target(given) == MARIA


def test_targets_are_in_their_order() -> None:
    assert spans_of(SPANS.target([[5, 7, "地名"], [0, 3, "人名"]]) or "") == (
        (0, 3, "人名"),
        (5, 7, "地名"),
    )
    assert SPANS.target([]) == "[]"
    assert SPANS.stratum("[]") == "none"
    assert SPANS.stratum(MARIA) == SPANS.stratum("PER") == "spans"
    assert SPANS.names([MARIA, "[]", '[{"start":0,"end":2,"label":"LOC"}]']) == ("LOC", "PER")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("good", "spans.not_json"),
        ("3", "spans.not_a_list"),
        (7, "spans.not_a_list"),
        (["PER"], "spans.no_span"),
        ([{"start": 0, "label": "PER"}], "spans.no_offsets"),
        ([["0", "5", "PER"]], "spans.no_offsets"),
        ([[True, 5, "PER"]], "spans.no_offsets"),
        ([[5, 5, "PER"]], "spans.bad_offsets"),
        ([[6, 2, "PER"]], "spans.bad_offsets"),
        ([[-1, 2, "PER"]], "spans.bad_offsets"),
        ([[0, 5, " "]], "spans.no_label"),
        ([[0, 5, None]], "spans.no_label"),
        ([[0, 5, "PER"], [4, 9, "LOC"]], "spans.overlap"),
        ([[0, 5, "PER"], [0, 5, "LOC"]], "spans.overlap"),
    ],
)
def test_what_is_no_target_is_refused_with_its_reason(given: Any, code: str) -> None:
    with pytest.raises(InvalidData) as caught:
        SPANS.target(given)
    assert caught.value.code == code
    assert caught.value.message("en") != caught.value.message("zh")


def test_rows_that_cannot_be_right_are_bad_rows(tmp_path: Path) -> None:
    rows = [
        {"text": "Maria called.", "entities": [{"start": 0, "end": 5, "label": "PER"}]},
        {"text": "Maria", "entities": [{"start": 0, "end": 6, "label": "PER"}]},
        {"text": "a   b", "entities": [{"start": 1, "end": 3, "label": "PER"}]},
        {"text": "Maria called.", "entities": [[0, 5, "PER"], [3, 8, "LOC"]]},
        {"text": "Nobody called.", "entities": []},
        {"text": "Not looked at.", "entities": None},
    ]
    file = tmp_path / "entities.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    bad: list[BadRow] = []
    good = [one.label for one in read(Source(file), TASK, bad=bad.append)]
    assert good == [MARIA, "[]"]
    assert [(one.number, one.code) for one in bad] == [
        (2, "spans.outside"),
        (3, "spans.blank"),
        (4, "spans.overlap"),
        (6, "data.empty_label"),
    ]


def test_nothing_moves_in_a_text() -> None:
    assert TASK.check("a\0b 王") == "a\ufffdb 王"
    assert TASK.check({"text": "a\0b"}) == "a\ufffdb"
    TASK.agree({"text": "Maria"}, MARIA)


# Tokens and tags


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Maria's 2nd order, №7", ["Maria", "'", "s", "2", "nd", "order", ",", "№", "7"]),
        ("王小明iPhone15很好。", [*"王小明", "iPhone", "15", *"很好。"]),
        ("Größe\u00a0é\u0301x_1", ["Größe", "é", "\u0301", "x", "_", "1"]),
        ("😀\U00020000 ", ["😀", "\U00020000"]),
        (" \n", []),
    ],
)
def test_texts_of_any_script_are_cut(text: str, words: list[str]) -> None:
    found = sequence.tokens(text)
    assert [text[start:end] for start, end in found] == words
    assert len(sequence.features(text, found)) == len(words)


def test_spans_and_tags_tell_the_same() -> None:
    text = "王小明和Anna Maria Silva在上海"
    spans = [(0, 3, "PER"), (4, 20, "PER"), (21, 23, "LOC")]
    found = sequence.tokens(text)
    tags = sequence.tags_of(found, spans)
    assert tags == [
        "B-PER",
        "I-PER",
        "E-PER",
        "O",
        "B-PER",
        "I-PER",
        "E-PER",
        "O",
        "B-LOC",
        "E-LOC",
    ]
    assert [one[:3] for one in sequence.spans_of(found, tags)] == spans


def test_neighbours_of_one_kind_stay_apart() -> None:
    found = sequence.tokens("王小明李伟")
    tags = sequence.tags_of(found, [(0, 3, "PER"), (3, 5, "PER")])
    assert [one[:3] for one in sequence.spans_of(found, tags)] == [(0, 3, "PER"), (3, 5, "PER")]
    broken = ["I-PER", "O", "I-PER", "I-LOC", "O"]  # as another labelling writes it
    assert [one[:3] for one in sequence.spans_of(found, broken)] == [
        (0, 1, "PER"),
        (2, 3, "PER"),
        (3, 4, "LOC"),
    ]


def test_a_span_inside_a_token_covers_it() -> None:
    found = sequence.tokens("abcdef gh")
    assert sequence.tags_of(found, [(2, 4, "X")]) == ["S-X", "O"]


# Answers


def _answers(name: str, *rows: list[Found], labels: tuple[str, ...] = ("PER",)) -> Answers:
    raw = SPANS.truth([None] * len(rows), labels)
    for place, row in enumerate(rows):
        raw[place] = row
    return Answers(name, "crf", labels, raw)


def test_a_sheet_counts_spans_that_match_exactly() -> None:
    truth = SPANS.truth([MARIA, MARIA, "[]"], ("PER",))
    hit = Found(0, 5, "PER", 0.9, "Maria")
    short = Found(0, 4, "PER", 0.6, "Mari")
    live = _answers("a@1", [], [hit], [hit])
    sheet = SPANS.sheet(_answers("a@2", [hit], [short], []), {"live": live}, truth, ("PER",))
    assert values(sheet.measured) == pytest.approx(
        {"f1": 0.5, "precision": 0.5, "recall": 0.5, "exact_rows": 2 / 3}
    )
    won, lost = sheet.better("live")
    assert won.tolist() == [True, False, True]
    assert lost.tolist() == [False, True, False]
    count, (worst,) = sheet.errors(5)
    assert count == 1
    assert (worst.row, worst.truth, worst.answer) == (1, "PER 0–5", "PER 0–4 (Mari)")
    assert worst.stated == 0.6
    assert sheet.spoken(0) == ("PER 0–5", "–", "PER 0–5 (Maria)")


def test_each_kind_has_its_scores_the_most_frequent_first() -> None:
    place = Found(21, 27, "LOC", 0.8, "Lisbon")
    truth = SPANS.truth([MARIA, MARIA, '[{"start":21,"end":27,"label":"LOC"}]'], ("LOC", "PER"))
    answers = _answers("a@1", [], [Found(0, 5, "PER", 1, "Maria")], [place])
    sheet = SPANS.sheet(answers, {}, truth, ())
    kinds = sheet.details(EvaluationConfig(), {}, 0)["kinds"]
    assert [(one.label, one.spans) for one in kinds] == [("PER", 2), ("LOC", 1)]
    assert [one.f1.value for one in kinds] == pytest.approx([2 / 3, 1])
    assert kinds[0].f1.low < kinds[0].f1.value


def test_new_kinds_cannot_be_compared() -> None:
    truth = SPANS.truth([MARIA, '[{"start":0,"end":2,"label":"LOC"}]'], ("PER", "LOC"))
    new = _answers("a@2", [], [], labels=("PER", "LOC"))
    sheet = SPANS.sheet(new, {"live": _answers("a@1", [], [])}, truth, ("PER", "LOC"))
    kinds, rows = sheet.comparable("live")
    assert kinds == ("LOC",)
    assert rows.tolist() == [True, False]


# The method and its engine


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], TrainJob]:
    data = tmp_path_factory.mktemp("data")
    people, places = ["Anna Keller", "王小明", "Li Wei", "李芳"], ["Oslo", "上海", "Porto", "武汉"]
    rows = []
    for person in people:
        for place in places:
            for before, middle in (("Dear ", " moved to "), ("请", "寄到"), ("", " wohnt in ")):
                text = f"{before}{person}{middle}{place}."
                start, second = len(before), len(before) + len(person) + len(middle)
                spans = [[start, start + len(person), "PER"], [second, second + len(place), "LOC"]]
                rows.append((text, SPANS.target(spans)))
    rows += [(f"Order {number} is late. 订单{number}。", "[]") for number in range(20)]
    schema = Schema(TASK.name, ("LOC", "PER"), TASK.Settings().model_dump())
    with DatasetWriter(data, {"text": "text"}, SPANS.stratum) as writer:
        for number, (text, target) in enumerate(rows):
            split = "validation" if number % 8 == 0 else "train"
            writer.add(Example(str(number), text, target, split))  # type: ignore[arg-type]
        writer.close(schema)

    def make() -> TrainJob:
        out = tmp_path_factory.mktemp("out")
        return TrainJob("crf", TASK.name, data, None, out, tmp_path_factory.mktemp("scratch"))

    return make


def test_a_field_learns_names_in_both_languages(job: Callable[[], TrainJob]) -> None:
    told: list[float] = []
    one = job()
    result = crf.train(one, crf.Settings(), lambda progress: told.append(progress.done))
    assert result.figures["iterations"] > 0
    assert told
    engine = open_engine(one.out)
    english, chinese, nothing, empty = engine.predict(
        ["Dear Anna Keller moved to Porto.", "请王小明寄到武汉.", "Order 77 is late.", " "]
    )
    assert [(e["word"], e["entity_group"]) for e in english["entities"]] == [
        ("Anna Keller", "PER"),
        ("Porto", "LOC"),
    ]
    assert SPANS.said(chinese) == SPANS.target([[1, 4, "PER"], [6, 8, "LOC"]])
    assert all(0.5 < e["score"] <= 1 for e in english["entities"])
    assert nothing == empty == {"entities": []}
    assert engine.raw([]).shape == (0,)


def test_the_same_rows_give_the_same_model(job: Callable[[], TrainJob]) -> None:
    first, second = job(), job()
    for one in (first, second):
        crf.train(one, crf.Settings(iterations=20), lambda _: None)
    assert (first.out / MODEL).read_bytes() == (second.out / MODEL).read_bytes()


def test_what_progress_raises_ends_training(job: Callable[[], TrainJob]) -> None:
    def stop(progress: Any) -> None:
        if progress.unit == "steps":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crf.train(job(), crf.Settings(), stop)


def test_a_damaged_model_is_refused(job: Callable[[], TrainJob]) -> None:
    one = job()
    crf.train(one, crf.Settings(iterations=5), lambda _: None)
    (one.out / MODEL).write_bytes(b"nothing of the kind")
    with pytest.raises(CorruptArtifact):
        open_engine(one.out)


def test_it_is_the_baseline_of_spans_alone() -> None:
    methods = methods_for(TASK)
    assert (methods[0], {"lora", "full"} - set(methods)) == ("crf", set())
    assert methods_for(base.get("text-classification"))[0] == "linear"
    assert linear.supports(TASK, None)
    assert crf.supports(base.get("text-classification"), None)


def test_its_estimate_grows_with_the_rows(job: Callable[[], TrainJob]) -> None:
    machine = Machine(2, 2**33, 2**33, 1e10)
    small, large = (
        crf.estimate(job(), crf.Settings(), DataStats(rows, 0, 0, {}), machine)
        for rows in (100, 10_000)
    )
    assert small.seconds < large.seconds
    assert small.memory_bytes < large.memory_bytes
