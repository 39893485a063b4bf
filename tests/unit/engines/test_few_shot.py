"""A language model labels texts and finds entities by a prompt, as JSON of a schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun import messages
from feilun.engines.base import open_engine
from feilun.errors import InvalidSettings
from feilun.families.classes import CLASSES
from feilun.families.spans import SPANS
from feilun.project import Project, Workspace
from feilun.store.dataset import DatasetWriter
from feilun.training.job import TrainJob
from feilun.training.settings import methods_for
from feilun.types import EngineRequest, Example, Schema
from helpers.gguf import tiny_gguf
from helpers.jobs import train

LABELS = ("bad", "good")


def test_a_written_label_is_logits_of_its_probability() -> None:
    raw = CLASSES.json_raw({"label": "good"}, "x", LABELS, 0.8)
    assert np.allclose(np.exp(raw), [0.2, 0.8])
    for nothing in (None, {"label": "odd"}, {}, ["good"], "good"):
        assert CLASSES.json_raw(nothing, "x", LABELS, 0.9).tolist() == [0, 0]
    assert CLASSES.json_answer("bad", "x") == {"label": "bad"}


def test_written_entities_are_found_where_they_stand() -> None:
    text = "Ada met Bob, then Ada left 上海."
    labels = ("person", "place")
    value = {
        "entities": [
            {"text": "Ada", "type": "person"},
            {"text": "Bob", "type": "person"},
            {"text": "Ada", "type": "person"},
            {"text": "上海", "type": "place"},
            {"text": "Berlin", "type": "place"},  # stands nowhere
            {"text": "met", "type": "verb"},  # is no kind
            {"text": "", "type": "place"},
            {"text": 3, "type": "place"},
            "Ada",
        ]
    }
    found = SPANS.json_raw(value, text, labels, 0.7)
    assert [(one.start, one.word, one.label) for one in found] == [
        (0, "Ada", "person"), (8, "Bob", "person"), (18, "Ada", "person"), (27, "上海", "place"),
    ]  # fmt: skip
    assert SPANS.json_raw({"entities": "none"}, text, labels, 1.0) == []
    target = SPANS.target([{"start": 8, "end": 11, "label": "person"}])
    assert target is not None
    assert SPANS.json_answer(target, text) == {"entities": [{"text": "Bob", "type": "person"}]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny_gguf(folder / "m.gguf", context=2048)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Iterator[Project]:
    messages.use("en")
    rows = [
        {"text": f"{word} tea number {n}", "label": label}
        for n in range(30)
        for word, label in (("lovely", "good"), ("awful", "bad"))
    ]
    with Workspace(tmp_path_factory.mktemp("w")) as workspace:
        project = workspace.init("tone", task="text-classification", base=str(base))
        project.add(rows)
        yield project


@pytest.mark.slow
def test_it_stands_in_one_table_with_the_small_model(project: Project) -> None:
    run = project.run(method="few-shot", overrides={"training.few-shot.shots": 2})
    small, written = run.stages
    assert (small.method, written.method) == ("linear", "few-shot")
    assert not written.promoted, "its weights are drawn at random"
    assert run.live == "tone@1"
    folder = project.workspace.store.catalog.model_version("tone@2").artifact() or ""
    engine: Any = open_engine(project.workspace.store.artifacts.path(folder))
    try:
        outputs = engine.predict(["lovely tea", "awful 茶" * 2000, ""])
        assert {one["label"] for one in outputs} <= set(LABELS)
        near = engine._near("awful tea number 7")
        assert json.loads(near[-1][1]) == {"label": "bad"}
        units = engine.most(EngineRequest(["a", "b"]))
        assert units["tokens_out"] == 256
    finally:
        engine.close()


def test_a_prompt_is_checked(project: Project) -> None:
    with pytest.raises(InvalidSettings, match=r"\+\{text\}, -\{question\}"):
        project.run(method="few-shot", overrides={"training.few-shot.prompt": "{question}"})


def test_entities_are_written_by_the_schema(tmp_path: Path, base: Path) -> None:
    from feilun.tasks import base as tasks

    task = tasks.get("token-classification")
    assert "few-shot" in methods_for(task, base)
    assert "few-shot" not in methods_for(task, tmp_path), "no file of weights"
    assert "few-shot" not in methods_for(tasks.get("forecasting"), base)
    with DatasetWriter(tmp_path / "data", {"text": "text"}) as writer:
        for number, name in enumerate(("Ada", "Bob", "Eve")):
            label = task.family.target([{"start": 0, "end": 3, "label": "person"}])
            writer.add(Example(f"r{number}", f"{name} opens the shop", label, "train"))
        writer.close(Schema(task.name, ("person",), task.Settings().model_dump()))
    (tmp_path / "out").mkdir()
    settings = {"shots": 1, "max_tokens": 40}
    job = TrainJob(
        "few-shot", task.name, tmp_path / "data", base, tmp_path / "out", tmp_path / "s",
        settings=settings,
    )  # fmt: skip
    assert train(job).figures["rows"] == 3
    engine = open_engine(tmp_path / "out")
    try:
        for one in engine.predict(["Ada opens", "Bob open"]):
            assert isinstance(one["entities"], list)
    finally:
        engine.close()
