"""Feedback as rows of the next data version."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from feilun.store.drawn import DRAWN, SOURCE
from feilun.store.ledger import Ledger
from feilun.store.ledger_records import FeedbackSource, LabelledPrediction
from feilun.types import Example, Item

__all__ = [
    "Learned",
    "Unit",
    "content_hash",
    "examples_of",
    "rank",
    "to_examples",
]

Unit = Literal["input", "target", "answer"]
"""What of the feedback is a row: each different input; each right target of one, where there may be
several; or each answer that was spoken of, where rows are observations."""

_RANK = {"customer": 0, "reviewer": 1, "operator": 2}


@dataclass(frozen=True, slots=True)
class Learned:
    """One row for the next data version, whose word it is, and the ids of all feedback that it
    stands for (what `Ledger.mark_used` takes once the version exists). `drawn`: nobody chose the
    answer, it was drawn at random."""

    example: Example
    feedback_ids: tuple[str, ...]
    source: FeedbackSource = "operator"

    @property
    def drawn(self) -> bool:
        return self.example.source == DRAWN


def to_examples(ledger: Ledger, project: str, *, unused_only: bool = True) -> list[Learned]:
    """One row for each different input that has feedback, in the order the inputs first got some.

    `unused_only` leaves out what a data version has learned already. Nothing is held back; that is
    `feilun.feedback.triage`. Memory grows with the inputs that have feedback.
    """
    said = ledger.feedback(project, unused_only=unused_only)
    return examples_of(said, ledger.audited_answers(project))


def examples_of(
    said: Iterable[LabelledPrediction],
    drawn: Collection[tuple[str, int]] = (),
    unit: Unit = "input",
) -> list[Learned]:
    """The same for these pieces of feedback. Where one input was answered and labelled several
    times, the operator's last word goes before a reviewer's, and that before a customer's; another
    `unit` makes more rows of it. One is drawn where one of its answers is among the `drawn`,
    whoever spoke of it besides."""
    by_item: dict[str, list[LabelledPrediction]] = {}
    for labelled in said:
        item = labelled.prediction.input
        if unit == "target":
            item = {"": repr(item), "label": labelled.feedback.label}
        elif unit == "answer":
            item = {"": labelled.prediction.prediction_id, "index": labelled.prediction.index}
        by_item.setdefault(content_hash(item), []).append(labelled)
    learned = []
    for digest, words in by_item.items():
        last = max(words, key=rank)
        by_lot = any((one.prediction.prediction_id, one.prediction.index) in drawn for one in words)
        example = Example(
            row_id=f"fb_{digest[:32]}",
            item=last.prediction.input,
            label=last.feedback.label,
            subject=last.prediction.customer or "",
            source=DRAWN if by_lot else SOURCE,
        )
        ids = tuple(one.feedback.id for one in words)
        learned.append(Learned(example, ids, last.feedback.source))
    return learned


def rank(said: LabelledPrediction) -> tuple[int, str]:
    """Grows with trust, then with time."""
    return _RANK[said.feedback.source], said.feedback.id


def content_hash(item: Item) -> str:
    """The sha256 of an item's content; equal items have equal hashes."""
    digest = sha256()
    parts = sorted(item.items()) if isinstance(item, Mapping) else [("", item)]
    for name, value in parts:
        raw = value if isinstance(value, bytes) else repr(value).encode("utf-8", "backslashreplace")
        digest.update(f"{name}\0{type(value).__name__}\0{len(raw)}\0".encode() + raw)
    return digest.hexdigest()
