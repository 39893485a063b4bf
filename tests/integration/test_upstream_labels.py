"""Texts that a second feilun, asked in words, puts labels on teach a classifier of one's own."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feilun.errors import UsageError
from feilun.project import Project, Workspace
from feilun.project.upstream import Upstream
from helpers.serving import Answering, make_key, serving

WORDS = {
    "delivery": ("parcel", "courier", "van", "doorstep", "tracking"),
    "billing": ("invoice", "refund", "charge", "receipt", "payment"),
}
ENDS = (
    "is late", "is missing", "was wrong", "came twice", "cannot be found", "has a problem",
    "looks odd", "was not for me", "is still open", "makes me angry", "needs a look", "is lost",
)  # fmt: skip
TEXTS = {
    f"The {word} {end}": label
    for end, (label, words) in itertools.product(ENDS, WORDS.items())
    for word in words
}
HOW = {
    "training.method": "linear",
    "data.test": 0.3,
    "data.validation": 0.2,
    "upstream.min_calls": 80,
    "upstream.learn": True,
    "upstream.audit": 0.0,
    "evaluation.margin": 0.15,  # 35 equal rows say no more
}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    """Answers some texts with a label in words, others with JSON, and what it does not know with
    neither."""
    folder = tmp_path_factory.mktemp("provider")
    file = folder / "labels.csv"
    wordings = itertools.cycle(["{}", "{}.", '{{"label": "{}"}}'])
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = [(text, next(wordings).format(label)) for text, label in TEXTS.items()]
        csv.writer(opened).writerows([("question", "answer"), *rows])
    with Workspace(folder) as workspace:
        workspace.init("faq", task="chat").add(file)
        sure = {"serving.abstain_below": 1e-6}
        workspace.project("faq").run(method="memory", overrides=sure)
        with serving(workspace.store) as running:
            yield running


@pytest.fixture(scope="module")
def tickets(
    provider: Answering, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Answering]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_PROVIDER_KEY", provider.key.secret)
        with Workspace(tmp_path_factory.mktemp("tickets")) as workspace:
            other = Upstream(
                f"{provider.address}/v1", "faq", "TEST_PROVIDER_KEY", ("billing", "delivery")
            )
            project = workspace.init("tickets", task="text-classification", upstream=other)
            with serving(workspace.store) as running:
                yield project, running


def _ask(server: Answering, texts: list[str]) -> Any:
    secret = make_key(server.store, "Ada", store_inputs=30).secret
    headers = {"authorization": f"Bearer {secret}"}
    body = {"model": "tickets", "inputs": texts}
    return server.http.post("/v1/predict", json=body, headers=headers)


def test_labels_come_from_the_other_server_until_an_own_classifier_is_sure(
    tickets: tuple[Project, Answering], provider: Answering
) -> None:
    project, server = tickets
    texts = list(TEXTS)
    for start in range(0, len(texts), 20):
        answer = _ask(server, texts[start : start + 20])
        assert answer.status_code == 200, answer.text
        said = [one["label"] for one in answer.json()["outputs"]]
        assert said == [TEXTS[text] for text in texts[start : start + 20]]
    (units,) = [row.units for row in server.store.ledger.usage(project="tickets")]
    assert units["upstream_inputs"] == units["inputs"] == len(texts)
    update = project.update(overrides=HOW)
    assert update.promoted, update.stages[-1].reasons
    asked = len(provider.store.ledger.recent_predictions("faq", limit=None))
    assert asked == len(texts), "the kept labels are the reference"
    answer = project.predict("The courier is late and the parcel is lost")
    assert answer.outputs[0]["label"] == "delivery"
    assert len(provider.store.ledger.recent_predictions("faq", limit=None)) == asked
    found = project.upstream()
    assert found.quality is not None
    assert found.quality["here"] > 0.5


def test_an_answer_that_is_no_label_is_an_error_that_costs_nothing(
    tickets: tuple[Project, Answering],
) -> None:
    _, server = tickets
    before = server.store.ledger.usage(project="tickets")
    answer = _ask(server, ["Zebra zoo"])
    assert answer.status_code == 502
    assert "none of the labels billing, delivery" in answer.json()["error"]["message"]
    assert server.store.ledger.usage(project="tickets") == before


@pytest.mark.parametrize(
    ("task", "labels", "words"),
    [
        ("text-classification", ("one",), "two at least"),
        ("chat", ("a", "b"), "chooses from no labels"),
        ("tabular-classification", ("a", "b"), "all that can be passed on"),
    ],
)
def test_what_cannot_be_passed_on_is_refused(
    tmp_path: Path, task: str, labels: tuple[str, ...], words: str
) -> None:
    other = Upstream("http://x/v1", "m", labels=labels)
    with Workspace(tmp_path) as workspace, pytest.raises(UsageError, match=words):
        workspace.init("x", task=task, upstream=other)
