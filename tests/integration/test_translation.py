"""A program that is translated: from a translation memory to a live API, streamed, reviewed,
corrected, and updated. Everything is real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.project import Project, Workspace
from feilun.store.dataset import Dataset
from helpers.serving import Answering, serving

VERBS = {"open": "打开", "close": "关闭", "delete": "删除", "rename": "重命名", "copy": "复制"}
THINGS = {
    "file": "文件", "window": "窗口", "folder": "文件夹", "page": "页面", "account": "帐户",
    "image": "图像", "message": "消息", "project": "项目",
}  # fmt: skip
SHAPES = {
    "Cannot {verb} the {thing} “%s”.": "无法{verb}{thing}“%s”。",
    "{Verb} {number} {thing}s?": "要{verb} {number} 个{thing}吗？",
    "Do you really want to {verb} this {thing}?": "确定要{verb}此{thing}吗？",
    "{Verb} <b>{{name}}</b> as a {thing}": "将 <b>{{name}}</b> 作为{thing}{verb}",
}


def _pairs() -> list[tuple[str, str]]:
    found = []
    for number, (verb, done) in enumerate(VERBS.items(), 2):
        for thing, name in THINGS.items():
            for source, target in SHAPES.items():
                held = {"number": number, "Verb": verb.capitalize()}
                found.append(
                    (
                        source.format(verb=verb, thing=thing, **held),
                        target.format(verb=done, thing=name, number=number),
                    )
                )
    return found


def _memory(folder: Path) -> Path:
    units = []
    for pair in _pairs():
        safe = [text.replace("&", "&amp;").replace("<", "&lt;") for text in pair]
        units.append(
            f'<tu><tuv xml:lang="en"><seg>{safe[0]}</seg></tuv>'
            f'<tuv xml:lang="zh-CN"><seg>{safe[1]}</seg></tuv></tu>'
        )
    file = folder / "program.tmx"
    body = "\n".join(units)
    file.write_text(f'<tmx version="1.4"><header srclang="en"/><body>{body}</body></tmx>', "utf-8")
    return file


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with Workspace(tmp_path_factory.mktemp("workspace")) as workspace:
        project = workspace.init("program", task="translation")
        settings = project.file.read_text("utf-8")
        project.file.write_text(f"{settings}\n[update]\nmin_corrections = 1\n", "utf-8")
        project.add(_memory(tmp_path_factory.mktemp("data")))
        (stage,) = project.run().stages
        assert (stage.version, stage.method, stage.promoted) == ("program@1", "fuzzy", True)
        yield project


@pytest.fixture(scope="module")
def server(program: Project) -> Iterator[Answering]:
    with serving(program.workspace.store) as running:
        yield running


def test_texts_are_translated(program: Project, server: Answering) -> None:
    """Known ones, in which a number, a tag or a place for a value is another now."""
    store = program.workspace.store
    data = store.catalog.latest_data("program")
    assert data is not None
    known = Dataset(store.artifacts.path(data.artifact)).examples("train")
    pairs = {str(one.item): str(one.label) for one in known}
    changes = {" 4 ": " 41 ", "<b>{name}</b>": "<i>{title}</i>", "%s": "%1$s"}
    found = [next(text for text in pairs if old in text) for old in changes]
    texts = [text.replace(*change) for text, change in zip(found, changes.items(), strict=True)]
    right = [
        pairs[text].replace(*change) for text, change in zip(found, changes.items(), strict=True)
    ]
    outputs = server.predict(texts).json()["outputs"]
    assert [one["translation_text"] for one in outputs] == right
    assert all(set(one) == {"translation_text", "score"} for one in outputs)
    assert min(one["score"] for one in outputs) > 0.9
    (alone,) = server.predict({"text": found[0]}).json()["outputs"]
    assert (alone["translation_text"], alone["score"]) == (pairs[found[0]], 1.0)


def test_what_nothing_is_like_stays_as_it_is(server: Answering) -> None:
    """Also where only a placeholder is unknown: a wrong one would break the program."""
    texts = ["It rains in Lisbon", "Delete %s of %d files?"]
    for text, output in zip(texts, server.predict(texts).json()["outputs"], strict=True):
        assert (output["translation_text"], output["abstained"]) == (text, True)


def test_a_translation_may_come_in_pieces(server: Answering) -> None:
    text = "Do you really want to copy this window?"
    answer = server.predict(text, stream=True)
    *events, done = answer.text.strip().split("\n\n")
    assert done == "data: [DONE]"
    told = [json.loads(event.removeprefix("data: ")) for event in events]
    (whole,) = told[-1]["outputs"]
    assert "".join(one["delta"] for one in told[:-1]) == whole["translation_text"] != text
    assert told[-1]["usage"]["tokens_out"] == len(told) - 1
    assert told[-1]["usage"]["tokens_in"] == 9


def test_the_routes_of_openai_translate_too(server: Answering) -> None:
    text = "Do you really want to copy this window?"
    (right,) = server.predict(text).json()["outputs"]
    messages = [{"role": "system", "content": "Translate."}, {"role": "user", "content": text}]
    said = server.http.post("/v1/chat/completions", json={"messages": messages}).json()
    assert said["choices"][0]["message"]["content"] == right["translation_text"]
    said = server.http.post("/v1/completions", json={"prompt": text}).json()
    assert said["choices"][0]["text"] == right["translation_text"]


@pytest.mark.parametrize("inputs", ["", " \n ", {"en": None}, {"text": ["a"]}, [["a"]]])
def test_what_is_no_text_is_refused(server: Answering, inputs: object) -> None:
    answer = server.predict(inputs)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


def test_its_scores_are_those_of_translations(program: Project) -> None:
    metrics = program.evaluate().metrics
    assert list(metrics) == [
        "chrf", "bleu", "exact_match", "placeholders_kept", "length_ratio", "answered",
    ]  # fmt: skip
    kept, near = metrics["placeholders_kept"], metrics["chrf"]
    assert kept is not None
    assert near is not None
    assert kept["value"] == 1.0
    assert near["low"] < near["value"] < near["high"]
    assert 0.4 < near["value"] < 1


@pytest.mark.slow
def test_a_correction_becomes_the_next_version(program: Project, server: Answering) -> None:
    text = "Restore 7 windows?"
    called = server.predict(text).json()
    right = "要还原 7 个窗口吗？"
    body = {"prediction_id": called["id"], "label": right}
    assert server.http.post("/v1/feedback", json=body).status_code == 200
    assert program.update().stages[0].version == "program@2"
    outputs = program.model("program@2").predict([text, "Restore 12 windows?"]).outputs
    assert [one["translation_text"] for one in outputs] == [right, "要还原 12 个窗口吗？"]
