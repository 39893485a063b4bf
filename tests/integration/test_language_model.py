"""A corpus becomes a language model behind the API: from text files to a version that continues
texts, streams, is corrected and updated. Everything is real."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from feilun.project import Project, Workspace
from feilun.store.dataset import Dataset
from feilun.training.corpus import documents
from helpers.corpora import write_corpus
from helpers.serving import Answering, serving


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with Workspace(tmp_path_factory.mktemp("workspace")) as workspace:
        project = workspace.init("corpus", task="language-model")
        settings = project.file.read_text("utf-8")
        project.file.write_text(f"{settings}\n[update]\nmin_corrections = 1\n", "utf-8")
        project.add(write_corpus(tmp_path_factory.mktemp("data") / "texts"))
        (stage,) = project.run(method="ngrams").stages
        assert (stage.version, stage.method, stage.promoted) == ("corpus@1", "ngrams", True)
        yield project


@pytest.fixture(scope="module")
def server(corpus: Project) -> Iterator[Answering]:
    with serving(corpus.workspace.store) as running:
        yield running


def _events(text: str) -> list[dict[str, object]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_it_is_judged_in_bits_per_byte_on_documents_that_it_did_not_read(corpus: Project) -> None:
    record = corpus.workspace.store.catalog.model_version("corpus@1")
    score = record.metrics["test"]["bits_per_byte"]
    assert record.metrics["primary"] == "bits_per_byte"
    assert 0.2 < score["low"] < score["value"] < score["high"] < 3


def test_a_text_is_continued_at_once_and_as_a_stream(server: Answering) -> None:
    asked = {"model": "corpus", "inputs": ["第7壶绿茶"]}
    whole = server.http.post("/v1/predict", json=asked).json()
    (output,) = whole["outputs"]
    assert len(output["generated_text"]) > 5
    assert output["bits_per_byte"] > 0
    again = server.http.post("/v1/predict", json=asked).json()
    assert again["outputs"] == whole["outputs"]  # drawn with a seed that is fixed
    asked = {"model": "corpus", "inputs": "第7壶绿茶", "stream": True}
    *pieces, last = _events(server.http.post("/v1/predict", json=asked).text)
    assert "".join(str(one["delta"]) for one in pieces) == output["generated_text"]
    assert last["outputs"] == whole["outputs"]


@pytest.mark.slow
def test_a_correction_says_how_a_text_goes_on(corpus: Project, server: Answering) -> None:
    asked = {"model": "corpus", "inputs": ["The shop is closed"]}
    said = server.http.post("/v1/predict", json=asked).json()
    body = {"prediction_id": said["id"], "label": "on Sundays and in August."}
    answer = server.http.post("/v1/feedback", json=body)
    assert answer.status_code == 200, answer.text
    turned = corpus.update()
    data = corpus.workspace.store.catalog.latest_data("corpus")
    assert data is not None
    assert data.info["feedback"]
    assert turned.stages[0].version == "corpus@2"
    learnt = list(documents(Dataset(corpus.workspace.store.artifacts.path(data.artifact)), "train"))
    assert "The shop is closed on Sundays and in August." in learnt
    output = corpus.model("corpus@2").predict("The shop is closed").outputs[0]
    assert output["bits_per_byte"] < said["outputs"][0]["bits_per_byte"] / 2
