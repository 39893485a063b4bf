"""The documents of a data version, as a stream: what language models learn from."""

from __future__ import annotations

from collections.abc import Iterator

from feilun.families.likelihood import ITSELF
from feilun.store.dataset import INPUT, Dataset
from feilun.tasks._documents import joined
from feilun.types import Split

__all__ = ["documents"]


def documents(dataset: Dataset, split: Split) -> Iterator[str]:
    """Each document of `split`: a row's text, and after it what should have followed, where a
    correction says that."""
    column = INPUT + next(iter(dataset.columns))
    for batch in dataset.batches([column, "label"], split):
        texts, targets = (one.to_pylist() for one in batch.columns)
        for text, target in zip(texts, targets, strict=True):
            if target is not None:
                yield text if target == ITSELF else joined(text, target)
