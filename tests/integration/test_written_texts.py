"""Summaries and texts for prompts, from files to a live API and back with corrections. Everything
is real."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feilun.project import Project, Workspace
from helpers.serving import Answering, serving

GOODS = ["kettle", "lamp", "chair", "scarf", "teapot", "mirror", "clock", "umbrella", "desk"]
THINGS = ["水壶", "台灯", "椅子", "围巾", "茶壶", "镜子", "闹钟", "雨伞", "书桌"]
PLACES = ["Lisbon", "Oslo", "Rome", "Paris", "Vienna", "Prague", "Madrid"]
COLOURS = ["red", "green", "dark blue", "white"]


def _written(file: Path, head: tuple[str, str], rows: list[tuple[str, str]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])
    return file


def _documents() -> list[tuple[str, str]]:
    """The second sentence of each says what it is about."""
    found = []
    for number, place in enumerate(PLACES):
        for good, thing in zip(GOODS, THINGS, strict=True):
            days = 3 + (number + len(good)) % 9
            said = f"The {good} shop of {place} closes for {days} days."
            found.append(
                (f"Dear customers, a word about {good}s. {said} Mr. Fox sends his regards.", said)
            )
            said = f"{place}的{thing}店停业{days}天。"
            found.append((f"各位顾客：关于{thing}的通知！{said}感谢大家的支持。", said))
    return found


def _prompts() -> list[tuple[str, str]]:
    shapes = (
        ("Describe: {good}, {colour}, {n} euros", "Our {colour} {good} costs {n} euros only."),
        ("Remind {name} of bill {n}", "Dear {name}, bill {n} is still open. Please pay it soon."),
    )
    found = []
    for prompt, completion in shapes:
        for n, good in enumerate(GOODS):
            for name in ("Ada", "Grace Hopper", "Lin Wei"):
                said = {"good": good, "colour": COLOURS[n % 4], "name": name, "n": 20 + n}
                found.append((prompt.format(**said), completion.format(**said)))
    return found


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("data")
    files = {
        "summarization": _written(folder / "a.csv", ("article", "highlights"), _documents()),
        "text-generation": _written(folder / "b.csv", ("prompt", "completion"), _prompts()),
    }
    with Workspace(tmp_path_factory.mktemp("workspace")) as workspace:
        for task, file in files.items():
            project = workspace.init(task, task=task)
            settings = project.file.read_text("utf-8")
            project.file.write_text(f"{settings}\n[update]\nmin_corrections = 1\n", "utf-8")
            project.add(file)
            (stage,) = project.run().stages
            assert stage.promoted
        yield workspace


@pytest.fixture(scope="module")
def server(workspace: Workspace) -> Iterator[Answering]:
    with serving(workspace.store) as running:
        yield running


def _ask(server: Answering, model: str, inputs: Any) -> list[dict[str, Any]]:
    answer = server.predict(inputs, model=model)
    assert answer.status_code == 200, answer.text
    outputs: list[dict[str, Any]] = answer.json()["outputs"]
    return outputs


def test_a_summary_is_made_of_the_document(server: Answering) -> None:
    texts = [
        "Dear customers, some news. The tea house of Bern opens again. Ms. Li greets you.",
        "各位顾客：有一个消息！伯尔尼的茶馆重新开业。欢迎光临。",
    ]
    english, chinese = (one["summary_text"] for one in _ask(server, "summarization", texts))
    assert "The tea house of Bern opens again." in english
    assert "伯尔尼的茶馆重新开业。" in chinese
    assert len(english) < len(texts[0])
    assert set(_ask(server, "summarization", texts[0])[0]) == {"summary_text"}
    streamed = server.predict(texts[1], model="summarization", stream=True).text
    told = [json.loads(one[6:]) for one in streamed.strip().split("\n\n")[:-1]]
    assert "".join(one["delta"] for one in told[:-1]) == chinese


def test_a_prompt_is_answered_with_its_own_words(server: Answering) -> None:
    prompts = ["Describe: bucket, light grey, 7 euros", "Remind Alan Turing of bill 1936"]
    assert [one["generated_text"] for one in _ask(server, "text-generation", prompts)] == [
        "Our light grey bucket costs 7 euros only.",
        "Dear Alan Turing, bill 1936 is still open. Please pay it soon.",
    ]
    (unknown,) = _ask(server, "text-generation", "Wer gewinnt?")
    assert (unknown["generated_text"], unknown["abstained"]) == ("", True)


def test_scores_are_those_of_the_task(workspace: Workspace) -> None:
    summaries = workspace.project("summarization").evaluate().metrics
    assert list(summaries)[:3] == ["rouge_l", "rouge1", "rouge2"]
    assert summaries["rouge_l"]["value"] > 0.6  # type: ignore[index]
    texts = workspace.project("text-generation").evaluate().metrics
    assert texts["chrf"]["value"] > 0.6  # type: ignore[index]


@pytest.mark.parametrize("model", ["summarization", "text-generation"])
@pytest.mark.parametrize(
    "inputs", ["", "\t", {"prompt": "x"}, [None], {"text": b"x".hex(), "k": 1}]
)
def test_what_is_no_text_is_refused(server: Answering, model: str, inputs: Any) -> None:
    answer = server.predict(inputs, model=model)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "text", "right"),
    [
        ("summarization", "We moved. The shop is at the harbour now. Come in.", "We are moving."),
        ("text-generation", "Greet Ada on her birthday", "Happy birthday, dear Ada!"),
    ],
)
def test_a_correction_becomes_the_next_version(
    workspace: Workspace, server: Answering, model: str, text: str, right: str
) -> None:
    called = server.predict(text, model=model).json()
    body = {"prediction_id": called["id"], "label": right}
    assert server.http.post("/v1/feedback", json=body).status_code == 200
    project: Project = workspace.project(model)
    assert project.update().stages[0].version == f"{model}@2"
    data = workspace.store.catalog.latest_data(model)
    assert data is not None
    assert data.info["feedback"]
    if model == "text-generation":
        outputs = project.model(f"{model}@2").predict(["Greet Ada on her birthday"]).outputs
        assert outputs[0]["generated_text"] == right
