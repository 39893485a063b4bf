"""Feedback as rows of the next data version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from feilun.store.ledger import Ledger
from feilun.store.records import LabelledPrediction
from feilun.types import Example, Item

__all__ = ["SOURCE", "Learned", "to_examples"]

SOURCE = "feedback"
"""What `Example.source` says of rows that came from feedback."""


@dataclass(frozen=True, slots=True)
class Learned:
    """One row for the next data version, and the ids of all feedback that it stands for (what
    `Ledger.mark_used` takes once the version exists)."""

    example: Example
    feedback_ids: tuple[str, ...]


def to_examples(ledger: Ledger, project: str, *, unused_only: bool = True) -> list[Learned]:
    """One row for each different input that has feedback, in the order the inputs first got some.

    Where one input was answered and labelled several times, the last word of the house (a reviewer
    or the operator) goes before the last word of a customer. `unused_only` leaves out what a data
    version has learned already. Memory grows with the inputs that have feedback.
    """
    by_item: dict[str, list[LabelledPrediction]] = {}
    for labelled in ledger.feedback(project, unused_only=unused_only):
        by_item.setdefault(_hash(labelled.prediction.input), []).append(labelled)
    learned = []
    for digest, said in by_item.items():
        last = max(said, key=lambda one: (one.feedback.source != "customer", one.feedback.id))
        example = Example(
            row_id=f"fb_{digest[:32]}",
            item=last.prediction.input,
            label=last.feedback.label,
            subject=last.prediction.customer or "",
            source=SOURCE,
        )
        learned.append(Learned(example, tuple(one.feedback.id for one in said)))
    return learned


def _hash(item: Item) -> str:
    """The sha256 of an item's content; equal items have equal hashes."""
    digest = sha256()
    parts = sorted(item.items()) if isinstance(item, Mapping) else [("", item)]
    for name, value in parts:
        raw = value if isinstance(value, bytes) else repr(value).encode("utf-8", "backslashreplace")
        digest.update(f"{name}\0{type(value).__name__}\0{len(raw)}\0".encode() + raw)
    return digest.hexdigest()
