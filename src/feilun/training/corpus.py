"""The documents of a data version, as a stream: what language models learn from."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from feilun.families.likelihood import ITSELF
from feilun.modalities.text.documents import joined
from feilun.store.dataset import INPUT, Dataset
from feilun.types import Split

__all__ = ["documents"]


def documents(dataset: Dataset, split: Split, rows: Collection[str] | None = None) -> Iterator[str]:
    """Each document of `split`: a row's text, and after it what should have followed, where a
    correction says that. `rows` are the ids of those that are wanted; None for all."""
    column = INPUT + next(iter(dataset.columns))
    for batch in dataset.batches([column, "label", "row_id"], split):
        for text, target, row in zip(*(one.to_pylist() for one in batch.columns), strict=True):
            if target is not None and (rows is None or row in rows):
                yield text if target == ITSELF else joined(text, target)
