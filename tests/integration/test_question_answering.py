"""Answers from documents through the whole wheel: a folder alone answers at once, questions judge
it, a correction is learnt, and changed documents take the place of what they said before."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun import messages
from feilun.project import Project, Workspace
from feilun.serving.process import temporary_server

RETURNS = """# Returns

## How long

You can send goods back within {days} days of delivery, unworn and with the label on.
Gift cards cannot be returned.

## Refunds

We pay the money back within five working days, to the card that you paid with.

| country | postage |
|---|---|
| Norway | 9 euros |
| Chile | 31 euros |
"""
SHIPPING = """配送说明

运费

满 99 元包邮，不足 99 元收 8 元运费。

时间

下单后三天内送达，偏远地区七天。
"""
QUESTIONS = (
    ("How many days do I have to return something?", "14 days"),
    ("Within how long can goods be sent back?", "within 14 days of delivery"),
    ("Are gift cards returnable?", "Gift cards cannot be returned"),
    ("How soon do you pay the money back?", "within five working days"),
    ("To which card is the money paid?", "the card that you paid with"),
    ("What is the postage to Norway?", "9 euros"),
    ("Postage for Chile", "31 euros"),
    ("运费怎么算？", "不足 99 元收 8 元运费"),
    ("满多少包邮？", "99 元"),
    ("几天送达？", "三天内"),
    ("偏远地区多久送到？", "七天"),
    ("Must the label be on?", "with the label on"),
)


def _documents(folder: Path, days: int) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "returns.md").write_text(RETURNS.format(days=days), "utf-8")
    (folder / "配送.txt").write_text(SHIPPING, "gb18030")
    (folder / "prices.csv").write_text("article,price\nkettle,39 euros\nlamp,25 euros\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project of documents alone, live."""
    messages.use("en")
    folder = tmp_path_factory.mktemp("documents")
    with Workspace(folder / "w") as workspace:
        project = workspace.init("help", task="question-answering")
        added = project.add(_documents(folder / "docs", 14))
        assert added.report["counts"]["train"] == {"sections": 7}
        run = project.run(method="passages")
        assert run.live == "help@1"
        yield project


@pytest.fixture(scope="module")
def http(project: Project) -> Iterator[httpx.Client]:
    workspace = project.workspace
    with temporary_server(workspace.folder, workspace.settings) as address:
        headers = {"Authorization": f"Bearer {workspace.create_key('Ada').secret}"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as client:
            yield client


def _ask(http: httpx.Client, question: str, **more: Any) -> tuple[str, dict[str, Any]]:
    body = http.post("/v1/predict", json={"inputs": [question], **more}).json()
    return body["id"], body["outputs"][0]


def test_documents_alone_answer_with_citations(http: httpx.Client) -> None:
    for question, said, document in (
        ("Within how many days can I send goods back?", "within 14 days", "returns.md"),
        ("运费是多少？", "8 元运费", "配送.txt"),
        ("price of the kettle", "39 euros", "prices.csv"),
        ("postage to Chile", "31 euros", "returns.md"),
    ):
        _, answer = _ask(http, question)
        assert said in answer["answer"]
        (citation,) = answer["citations"]
        assert citation["document"] == document
        place = slice(answer["start"], answer["end"])
        assert citation["passage"][place] == answer["answer"]
        assert "passages" not in answer
    _, answer = _ask(http, "How long can I return goods?", all_scores=True)
    assert answer["citations"][0]["heading"] == "Returns > How long"
    assert len(answer["passages"]) > 1
    _, unknown = _ask(http, "Who won the chess championship?")
    assert unknown["abstained"]
    assert unknown["answer"] == "I do not know the answer to that."
    assert not unknown["citations"]


@pytest.mark.slow
def test_questions_judge_what_answers(project: Project, tmp_path: Path) -> None:
    with (tmp_path / "questions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("question", "answer"), *QUESTIONS])
    (tmp_path / "rules.csv").write_text("match,answer\nhuman|人工,Call 400-123.\n", "utf-8")
    (tmp_path / "facts.csv").write_text("fact,value\nshop address,12 Tea Street\n", "utf-8")
    project.add(*(tmp_path / f"{name}.csv" for name in ("questions", "rules", "facts")))
    run = project.run(method="passages")
    assert run.live == "help@2"
    judged = project.evaluate(on=tmp_path / "questions.csv")
    found = {name: score["value"] for name, score in judged.metrics.items() if score}
    assert found["recall_at_5"] >= 0.9
    assert found["contains"] >= 0.6
    assert found["supported"] == 1.0
    for question, said in (
        ("Can I talk to a human?", "Call 400-123."),
        ("转人工", "Call 400-123."),
        ("What is the address of the shop?", "12 Tea Street"),
    ):
        (output,) = project.predict([question]).outputs
        assert (output["answer"], output["score"]) == (said, 1.0)
        assert output["citations"]


@pytest.mark.slow
def test_a_correction_is_learnt_and_reworded(project: Project, http: httpx.Client) -> None:
    asked, answer = _ask(http, "Do I get my cash again if I dislike it?")
    assert "five working days" not in answer["answer"]
    body = {
        "prediction_id": asked,
        "label": {
            "answer": "within five working days",
            "document": "returns.md",
            "passage": "We pay the money back within five working days",
        },
    }
    assert http.post("/v1/feedback", json=body).status_code < 300
    assert project.update(overrides={"update.min_corrections": 1}).live == "help@3"
    (output,) = project.predict(["Do I get my cash again if I dislike it?"]).outputs
    assert output["answer"] == "within five working days"
    assert output["citations"][0]["document"] == "returns.md"
    (output,) = project.predict(["Do I get my cash again if I really dislike it?"]).outputs
    assert "five working days" in output["answer"]


@pytest.mark.slow
def test_changed_documents_go_live_though_the_questions_see_no_difference(
    project: Project, tmp_path: Path
) -> None:
    before = project.live
    docs = _documents(tmp_path / "docs", 14)
    (docs / "opening.md").write_text("# Hours\n\nThe shop opens at nine o'clock.\n", "utf-8")
    (docs / "returns.md").write_text(RETURNS.format(days=30), "utf-8")
    project.add(docs)
    run = project.run(method="passages")
    assert run.live != before.id
    (output,) = project.predict(["When does the shop open?"]).outputs
    assert output["answer"] == "The shop opens at nine o'clock."
    (output,) = project.predict(["Within how many days can goods be sent back?"]).outputs
    assert "30 days" in output["answer"]
    assert "14 days" not in str(output)
