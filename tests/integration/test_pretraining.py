"""A model that was pre-trained on one's own documents goes live, and is a base for other tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from feilun import NotFound
from feilun.project import Project, Workspace
from helpers.bert import write_bert
from helpers.corpora import write_corpus

NANO = {
    "training.pretrain.size": "nano",
    "training.pretrain.tokens": 8000,
    "training.pretrain.context": 48,
    "training.pretrain.vocabulary": 400,
}


def _corpus(workspace: Workspace, folder: Path, name: str, objective: str) -> Project:
    project = workspace.init(name, task="language-model")
    settings = project.file.read_text("utf-8")
    project.file.write_text(f'{settings}\n[task]\nobjective = "{objective}"\n', "utf-8")
    project.add(write_corpus(folder / name))
    return project


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Has the project `words`, of a masked model."""
    with Workspace(tmp_path_factory.mktemp("workspace")) as made:
        said: list[str] = []
        project = _corpus(made, tmp_path_factory.mktemp("data"), "words", "masked")
        turned = project.run(
            method="pretrain", overrides=NANO, report=lambda one: said.append(one.note)
        )
        assert [stage.method for stage in turned.stages] == ["ngrams", "pretrain"]
        assert any("8,000 tokens" in note and "operations" in note for note in said), said
        yield made


def _reviews(folder: Path) -> Path:
    lots = np.random.default_rng(1)
    words = {"bad": ("under stones", "river keeps"), "good": ("bright tea", "slowly grows")}
    rows = [
        {"text": f"{' '.join(lots.choice(words[label], 2))} {n}", "label": label}
        for n in range(60)
        for label in words
    ]
    file = folder / "reviews.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return file


@pytest.mark.slow
def test_masked_words_are_judged_beside_ngrams_on_the_same_places(workspace: Workspace) -> None:
    catalog = workspace.store.catalog
    both = [catalog.model_version(f"words@{n}").metrics["test"]["bits_per_byte"] for n in (1, 2)]
    assert all(0 < one["low"] <= one["value"] <= one["high"] < 12 for one in both)
    output = workspace.project("words").model("words@2").predict("the tea [MASK] slowly").outputs[0]
    assert len(output["fill_mask"][0]) == 5


@pytest.mark.slow
def test_it_is_a_base_for_every_text_task(workspace: Workspace, tmp_path: Path) -> None:
    reviews = workspace.init("reviews", task="text-classification")
    reviews.add(_reviews(tmp_path))
    overrides = {"project.base": "words@2", "training.epochs": 3}
    turned = reviews.run(method="full", overrides=overrides)
    record = workspace.store.catalog.model_version(turned.stages[-1].version)
    assert record.method == "full"
    assert record.config["rung"]["base_name"] == "words@2"
    kept = json.loads((workspace.store.artifacts.path(record.weights) / "config.json").read_text())
    assert (kept["model_type"], kept["hidden_size"]) == ("bert", 64)
    assert record.metrics["test"]["accuracy"]["value"] > 0.6
    # From another base, taught alike: the report says what a base is worth beside the other.
    other = str(write_bert(tmp_path / "other"))
    turned = reviews.run(method="full", overrides={"project.base": other, "training.epochs": 1})
    version = workspace.store.catalog.model_version(turned.stages[-1].version)
    report = workspace.store.artifacts.path(version.report or "")
    facts = json.loads((report / "report.json").read_text("utf-8"))["facts"]["training"]
    assert facts["base"] == other
    worth = facts["base_gain"]
    assert (worth["version"], worth["base"]) == (record.id, "words@2")
    assert worth["gain"]["low"] <= worth["gain"]["value"] <= worth["gain"]["high"]
    assert "Against another base" in (report / "report.html").read_text("utf-8")
    with pytest.raises(NotFound):
        reviews.run(method="full", overrides={"project.base": "words@9"})


@pytest.mark.slow
def test_a_causal_one_is_a_base_for_chat(workspace: Workspace, tmp_path: Path) -> None:
    corpus = _corpus(workspace, tmp_path, "stories", "causal")
    corpus.train(method="pretrain", overrides=NANO)
    chat = workspace.init("shop", task="chat")
    rows = [{"prompt": f"Question {n}?", "completion": f"Answer {n}."} for n in range(30)]
    (tmp_path / "faq.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    chat.add(tmp_path / "faq.jsonl")
    overrides = {"project.base": "stories@2", "training.epochs": 1}
    turned = chat.train(method="full", overrides=overrides)
    record = workspace.store.catalog.model_version(turned.stages[-1].version)
    assert record.config["rung"]["base_name"] == "stories@2"
