"""Corrections of written answers become pairs that a model learns from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feilun.errors import NotFound, UsageError
from feilun.project import Project, Workspace
from feilun.store.ledger_records import Event, Prediction
from feilun.training.preferences import read_pairs
from helpers.llama import SHOP
from helpers.rows import write_reviews

TALK = '[{"role":"system","content":"Be short."},{"role":"user","content":"Is it open?"}]'


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Project]:
    with Workspace(tmp_path) as workspace:
        project = workspace.init("shop", task="chat")
        file = tmp_path / "shop.jsonl"
        rows = [{"prompt": asked, "completion": said} for asked, said in SHOP]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        project.add(file)
        yield project


def answered(project: Project, said: dict[str, Any]) -> None:
    """Answers in the prediction log, all "I do not know.", as if a customer had asked."""
    store = project.workspace.store
    customer = store.catalog.add_customer("Customer").id
    for call, asked in said.items():
        store.ledger.commit(
            [Event(call_id=call, customer=customer, project=project.name)],
            [
                Prediction(
                    prediction_id=call,
                    index=0,
                    input=asked,
                    output={"generated_text": "I do not know."},
                    label="I do not know.",
                    score=None,
                    margin=None,
                    model_version="shop@1",
                    project=project.name,
                    customer=customer,
                )
            ],
        )


def test_corrections_become_pairs(shop: Project, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no correction"):
        shop.write_pairs(tmp_path / "none.jsonl")
    answered(shop, {"a": "When do you open?", "b": TALK, "c": "Is it blue?"})
    file = tmp_path / "said.csv"
    file.write_text("prediction_id,label\na,At nine.\nb,Yes.\nc,I do not know.\n", "utf-8")
    assert shop.add_feedback(file).accepted == 3
    written = shop.write_pairs(tmp_path / "pairs.jsonl")
    assert written.pairs == 2  # a confirmation is no pair
    found = read_pairs(written.file)
    assert ("When do you open?", "At nine.", "I do not know.") in found
    assert (TALK, "Yes.", "I do not know.") in found
    assert "2 pairs" in written.tables()[0].title


def test_labels_are_no_written_answers(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        project = workspace.init("reviews")
        project.add(write_reviews(tmp_path / "reviews.csv", 20))
        with pytest.raises(UsageError, match="text-classification"):
            project.write_pairs(tmp_path / "pairs.jsonl")
