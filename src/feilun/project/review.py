"""Walks the answers that are most worth a person's look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from feilun.feedback.collect import accept
from feilun.feedback.queue import review_queue
from feilun.store import Store
from feilun.store.records import Prediction

__all__ = ["ReviewItem", "review"]


@dataclass(frozen=True)
class ReviewItem:
    """One answer in the queue: the input, what was answered and how sure the model was."""

    prediction: Prediction
    _store: Store

    def label(self, label: str) -> None:
        """Says what the right answer is, as a reviewer; the answer's own label confirms it. Raises
        `Gone` when the input is no longer kept, `InvalidData` for what cannot be a label."""
        row, store = self.prediction, self._store
        accept(store.catalog, store.ledger, row.prediction_id, row.index, label, source="reviewer")


def review(store: Store, project: str, limit: int) -> Iterator[ReviewItem]:
    """The `limit` most useful answers that nobody has labelled yet."""
    rows = store.ledger.recent_predictions(project, limit=10_000, unlabelled_only=True)
    for prediction in review_queue(rows, limit):
        yield ReviewItem(prediction, store)
