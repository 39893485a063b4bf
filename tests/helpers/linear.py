"""A project small enough for a unit test: 60 reviews, the linear method, everything real."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feilun.project import Project, Workspace
from feilun.store.ledger_records import Event, Prediction
from helpers.rows import reviews, write_reviews

__all__ = ["QUICK", "answered", "linear_project"]

QUICK: dict[str, Any] = {"task.feature_bits": 12}
"""Settings that keep a linear version small."""


@contextmanager
def linear_project(folder: Path, rows: int = 60) -> Iterator[Project]:
    """The project ``reviews`` with one data version, nothing trained yet."""
    with Workspace(folder) as workspace:
        project = workspace.init("reviews")
        project.add(write_reviews(folder / "reviews.csv", rows, noise=0.0))
        yield project


def answered(
    project: Project, count: int, seed: int = 5, rows: Sequence[tuple[str, str]] | None = None
) -> list[tuple[str, str]]:
    """`count` answers in the prediction log, all "bad", as if customers had asked; to `rows`,
    texts and their labels, by default reviews. Returns the id and the true label of each."""
    store = project.workspace.store
    customer = store.catalog.add_customer("Customer").id
    live = project.live or project.model()
    said = []
    asked = rows or reviews(count, seed, noise=0.0)
    for number, (text, truth) in enumerate(asked[:count]):
        call = f"call-{seed}-{number}"
        store.ledger.commit(
            [Event(call_id=call, customer=customer, project=project.name)],
            [
                Prediction(
                    prediction_id=call,
                    index=0,
                    input=f"{text} ({seed})",
                    output={"label": "bad", "score": 0.6},
                    label="bad",
                    score=0.6,
                    margin=0.2,
                    model_version=live.id,
                    project=project.name,
                    customer=customer,
                )
            ],
        )
        said.append((call, truth))
    return said
