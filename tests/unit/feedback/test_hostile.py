"""A customer who turns 500 labels round: named, held back, and nothing live is harmed. The store,
the model, the update and the gate are real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.config import EvaluationConfig
from feilun.project import Project, Workspace
from feilun.store.ledger_records import Event, Prediction
from helpers.rows import reviews, write_reviews


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Workspace(tmp_path) as workspace:
        project = workspace.init("reviews")
        text = project.file.read_text("utf-8")
        project.file.write_text(text + "\n[task]\nfeature_bits = 14\n", "utf-8")
        project.add(write_reviews(tmp_path / "reviews.csv", 700, noise=0.1))
        project.run(method="linear")
        yield project


def customers_ask(project: Project, name: str, count: int, seed: int) -> list[tuple[str, str, str]]:
    """The customer's key asks `count` times; the id, the answer and the truth of each."""
    workspace = project.workspace
    made = workspace.create_key(name, project=project.name)
    customer = workspace.store.catalog.customer_named(name)
    assert customer is not None
    (key,) = workspace.store.catalog.keys(customer.id)
    assert key.prefix == made.prefix
    rows = reviews(count, seed, noise=0.0)
    outputs = project.predict([f"{text}, says {name}" for text, _ in rows], all_scores=True).outputs
    live = project.live
    assert live is not None
    said = []
    predictions = []
    for number, ((text, truth), output) in enumerate(zip(rows, outputs, strict=True)):
        call = f"{name}-{number}"
        score = float(output["score"])
        predictions.append(
            Prediction(
                call, 0, f"{text}, says {name}", output, output["label"], score, 2 * score - 1,
                live.id, project.name, customer.id, key.id,
            )
        )  # fmt: skip
        said.append((call, str(output["label"]), truth))
    events = [
        Event(call_id=p.prediction_id, customer=customer.id, key_id=key.id) for p in predictions
    ]
    workspace.store.ledger.commit(events, predictions)
    return said


def tell(project: Project, name: str, words: list[tuple[str, str]]) -> None:
    customer = project.workspace.store.catalog.customer_named(name)
    assert customer is not None
    for call, label in words:
        project.workspace.store.ledger.add_feedback(
            call, 0, label, source="customer", customer=customer.id
        )


def accuracy(project: Project) -> float:
    rows = reviews(300, seed=99, noise=0.0)
    given = project.predict([text for text, _ in rows]).outputs
    return sum(o["label"] == truth for o, (_, truth) in zip(given, rows, strict=True)) / len(rows)


@pytest.mark.slow
def test_five_hundred_turned_labels(project: Project) -> None:
    for name, seed in (("Ada", 21), ("Bob", 22)):
        said = customers_ask(project, name, 150, seed)
        wrong = [(call, truth) for call, label, truth in said if label != truth]
        right = [(call, truth) for call, label, truth in said if label == truth]
        tell(project, name, [*wrong, *right[:15]])
    said = customers_ask(project, "Mallory", 520, 23)
    turned = [(call, "bad" if label == "great" else "great") for call, label, _ in said]
    tell(project, "Mallory", turned[:500])
    before = accuracy(project)
    assert before > 0.9

    updated = project.update()
    words = "\n".join(note for table in updated.tables() for note in table.notes)
    key = project.workspace.keys().rows[-1]["prefix"]
    assert "Mallory" in words
    assert key in words
    assert "Ada" not in words
    assert "Bob" not in words
    store = project.workspace.store
    learned = store.catalog.latest_data(project.name)
    assert learned is not None
    customer = store.catalog.customer_named("Mallory")
    assert customer is not None
    subjects = project.scope.context().dataset(learned).values("subject")
    assert customer.id not in subjects
    assert learned.info["corrections"] >= 30  # the honest ones were learned
    assert learned.info["trust"]["suspects"][0]["held"] == 500
    assert accuracy(project) >= before - 0.02
    assert updated.report is not None
    assert "Mallory" in updated.report.read_text("utf-8")
    # the secret stands nowhere, and everything travels as JSON
    assert "fl_" not in json.dumps(learned.info).replace(key, "")


@pytest.mark.slow
def test_what_the_same_labels_would_have_done(project: Project) -> None:
    """Without trust they would have been learned, and done harm."""
    from feilun.feedback.to_data import to_examples

    said = customers_ask(project, "Mallory", 520, 23)
    tell(
        project,
        "Mallory",
        [(call, "bad" if label == "great" else "great") for call, label, _ in said[:500]],
    )
    before = accuracy(project)
    project.add(
        _file(project, to_examples(project.workspace.store.ledger, project.name)), split="train"
    )
    project.train(method="linear")
    project.deploy(force=True, reason="to see what it does")
    assert accuracy(project) < before - 0.2
    assert EvaluationConfig().margin < 0.2


def _file(project: Project, learned: list) -> Path:  # type: ignore[type-arg]
    import csv

    file = project.workspace.folder / "turned.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "score"])
        writer.writerows((one.example.item, one.example.label) for one in learned)
    return file
