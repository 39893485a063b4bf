"""A network that reads passages: what it learns, what it is shown of long ones, and what it says
where there is no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.engines.base import Engine, open_engine
from feilun.engines.reader import Windows
from feilun.errors import CorruptArtifact, InvalidData
from feilun.families.answers import Right, written
from feilun.modalities.text.tokens import TextProcessor
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.tasks.question_answering import section_item
from feilun.training.documents import library_of, reading_examples
from feilun.training.job import DataStats, TrainJob
from feilun.training.methods import reader
from feilun.types import EngineRequest, Example, Schema, Split
from helpers.bert import write_bert
from helpers.jobs import train

TASK = tasks.get("question-answering")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
THINGS = [f"{one}{two}{end}" for one in "bdfgkl" for two in "ao" for end in "mnt"]
"""Names that share no term, so that BM25 finds what is said of the one alone."""
ASK = "how much is the {}"
ASKED = [ASK.format(THINGS[number]) for number in (0, 4, 12)]
SETTINGS = {**TASK.Settings().model_dump(), "max_length": 64}


def _said(thing: str, number: int) -> tuple[list[str], str]:
    """What the documents say of a thing, and what it costs; every third has no price."""
    texts = [f"The {thing} is made of wood . We like it ."]
    if number % 3 == 2:
        return texts, ""
    price = f"{NUMBERS[number % len(NUMBERS)]} euros"
    return [*texts, f"We send the {thing} within days . It costs {price} ."], price


def _data(folder: Path, rows: list[Example]) -> Path:
    with DatasetWriter(folder, {"question": "text"}) as writer:
        for row in rows:
            writer.add(row)
        writer.close(Schema(TASK.name, (), SETTINGS))
    return folder


def _rows() -> list[Example]:
    rows = []
    for number, thing in enumerate(THINGS):
        split: Split = "train" if number % 4 else ("validation" if number % 8 else "test")
        texts, price = _said(thing, number)
        for place, text in enumerate(texts):
            name = f"{thing}-{place}.md"
            target = TASK.family.target({"kind": "section", "document": name})
            rows.append(Example(f"s{number}-{place}", section_item(text, name), target, "train"))
        right = written(Right((price,) if price else ()))
        rows.append(Example(f"{'q' if price else 'n'}{number}", ASK.format(thing), right, split))
    return rows


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [text for number, thing in enumerate(THINGS) for text in _said(thing, number)[0]]
    texts += [ASK.format("who made"), " ".join(NUMBERS)]
    folder = tmp_path_factory.mktemp("base") / "bert"
    return write_bert(folder, width=32, separated=True, texts=texts)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    data = _data(folder / "data", _rows())
    (folder / "out").mkdir()
    settings = {"epochs": 8, "learning_rate": 5e-3, "passages": 4}
    job = TrainJob(
        "reader", TASK.name, data, base, folder / "out", folder / "s", settings=settings, threads=2
    )
    done = train(job)
    assert done.figures["questions"] == 27
    assert done.figures["validation_loss"] < 0.9
    return folder / "out"


@pytest.fixture(scope="module")
def engine(version: Path) -> Iterator[Engine]:
    opened = open_engine(version)
    yield opened
    opened.close()


def test_it_points_at_the_answer_for_things_that_it_never_saw(engine: Engine) -> None:
    unseen = {THINGS[number]: _said(THINGS[number], number)[1] for number in range(0, 36, 4)}
    right = [price for price in unseen.values() if price]
    outputs = engine.predict([ASK.format(thing) for thing, price in unseen.items() if price])
    good = [one["answer"] == answer for one, answer in zip(outputs, right, strict=True)]
    assert np.mean(good) >= 0.8
    for one in outputs:
        passage = one["citations"][0]["passage"]
        assert passage[one["start"] : one["end"]] == one["answer"]


def test_what_the_passages_do_not_say_is_less_sure(engine: Engine) -> None:
    said, unsaid = [
        np.mean([one.sure for one in engine.raw([ASK.format(THINGS[n]) for n in numbers])])
        for numbers in ((0, 4, 12, 16), (8, 20, 32))
    ]
    assert unsaid < said / 2


def test_other_answers_are_shown_on_request(engine: Engine) -> None:
    async def ask(everything: bool) -> Any:
        request = EngineRequest(["how much is the bam"], everything)
        return [chunk async for chunk in engine.submit(request)][-1].outputs[0]

    whole = asyncio.run(ask(everything=True))
    assert len(whole["candidates"]) > 1
    assert whole["candidates"][0]["answer"] == whole["answer"]
    scores = [one["score"] for one in whole["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert "candidates" in TASK.family.public(whole, True)
    assert "candidates" not in TASK.family.public(whole, False)


def test_it_is_served_without_torch(engine: Engine, version: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from feilun.engines.base import open_engine\n"
        f"engine = open_engine(Path({str(version)!r}))\n"
        f"for one in engine.raw({ASKED!r}): print(one.answer)\n"
        "engine.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [one.answer for one in engine.raw(ASKED)]


@pytest.mark.slow
def test_an_update_goes_on_from_its_weights(version: Path, tmp_path: Path) -> None:
    data = _data(tmp_path / "data", _rows())
    (tmp_path / "out").mkdir()
    job = TrainJob(
        "reader",
        TASK.name,
        data,
        None,
        tmp_path / "out",
        tmp_path / "s",
        previous=version,
        settings={"epochs": 1, "learning_rate": 1e-5, "max_rows": 20, "lexical": 0.5},
    )
    assert train(job).figures["validation_loss"] < 0.9


def test_long_passages_are_read_in_windows_that_overlap(base: Path) -> None:
    processor = TASK.processor(base, SETTINGS)
    assert isinstance(processor, TextProcessor)
    text = " ".join(["It costs two euros ."] * 40)
    windows = [one for _, one in Windows(processor).of("how much is the lamp", [text])]
    assert len(windows) > 3
    covered = np.zeros(len(text), int)
    for one in windows:
        assert len(one.ids) <= 64
        assert text[one.offsets[0, 0] : one.offsets[0, 1]] in text.split()
        covered[one.offsets[0, 0] : one.offsets[-1, 1]] += 1
    assert covered.min() == 1, "nothing is left out"
    assert covered.max() == 2
    # A question that fills everything leaves room for the passage.
    ((_, whole),) = Windows(processor).of("much " * 500, ["two euros"])
    assert len(whole.offsets) == 2
    assert Windows(processor).of("two", [""]) == []


def test_of_several_places_that_which_the_question_asks_for_is_learnt(tmp_path: Path) -> None:
    text = "The lamp costs two euros. Postage is two euros. 邮费两欧元。"
    target = TASK.family.target({"kind": "section", "document": "a.md"})
    rows = [
        Example("s", section_item(text, "a.md"), target, "train"),
        Example("t", section_item("The lamp wins.", "b.md"), target, "train"),
        Example("q", "what is the postage", written(Right(("TWO euros",))), "train"),
        Example("z", "邮费是多少", written(Right(("两欧元",))), "train"),
        Example("o", "who wins", written(Right(("nobody at all",))), "train"),
        Example("n", "who wins the lamp", written(Right(())), "train"),
    ]
    data = Dataset(_data(tmp_path / "data", rows))
    found = reading_examples(data, library_of(data, SETTINGS), "train", 2)
    assert [one.question for one in found] == [
        "what is the postage", "邮费是多少", "who wins the lamp",
    ]  # fmt: skip
    postage, chinese, nothing = found
    assert postage.spans == [(text.index("two euros", 20), text.index("two euros", 20) + 9)]
    assert text[slice(*(chinese.spans[0] or ()))] == "两欧元"
    assert (list(nothing.right), len(nothing.wrong)) == ([], 2)


def test_without_an_answer_to_point_at_it_says_so(tmp_path: Path, base: Path) -> None:
    rows = [one for one in _rows() if one.row_id.startswith(("s", "n"))]
    data = _data(tmp_path / "data", rows)
    (tmp_path / "out").mkdir()
    job = TrainJob("reader", TASK.name, data, base, tmp_path / "out", tmp_path / "s")
    with pytest.raises(InvalidData, match="word for word"):
        train(job)


def test_auto_wants_questions_not_sections() -> None:
    stats = DataStats(900, 10, 10, {"sections": 880, "questions": 20})
    assert reader.taught(stats) == 20 < reader.least_rows


def test_damaged_weights_are_named(version: Path, tmp_path: Path) -> None:
    import shutil

    broken = shutil.copytree(version, tmp_path / "broken")
    (broken / "model.xml").write_text("<net", "utf-8")
    with pytest.raises(CorruptArtifact, match=r"model\.xml"):
        open_engine(broken)
