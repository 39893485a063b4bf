"""Rows that came back as feedback: what tells them, and a data version whose drawn rows train.

Answers that were drawn at random are what customers ask, with labels that nobody chose by the
answer: the best rows to judge by, and the best to learn from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from feilun.store.dataset import Dataset
from feilun.types import Split

__all__ = ["DRAWN", "SOURCE", "Released"]

SOURCE = "feedback"
"""What `Example.source` says of rows that are there because somebody spoke up or a person was sent
to a doubtful answer. They are errors by selection: they train and judge nothing."""
DRAWN = "feedback-drawn"
"""The same of rows whose answer was drawn at random and then labelled: these judge."""


class Released(Dataset):
    """A data version whose drawn test rows are training rows; `released` are their ids. The counts
    are those of the version as it lies there."""

    def __init__(self, folder: Path | str) -> None:
        super().__init__(folder)
        self.released: tuple[str, ...] = ()
        sources = zip(self.row_ids("test"), self.values("source", "test"), strict=True)
        self.released = tuple(row for row, source in sources if source == DRAWN)

    def batches(self, columns: Sequence[str], split: Split | None = None) -> Iterator[Any]:
        """As the data version has them, but for the splits of the released rows."""
        if not self.released:
            yield from super().batches(columns, split)
            return
        import pyarrow as pa

        moved, wanted = frozenset(self.released), list(columns)
        for batch in super().batches([*dict.fromkeys([*wanted, "row_id", "split"])]):
            names = batch.schema.names
            at = names.index("split")
            ids = batch.column(names.index("row_id")).to_pylist()
            splits = zip(ids, batch.column(at).to_pylist(), strict=True)
            now = ["train" if row in moved else was for row, was in splits]
            batch = batch.set_column(at, "split", pa.array(now, batch.schema.field(at).type))
            if split is not None:
                batch = batch.filter(pa.array([one == split for one in now], pa.bool_()))
            if batch.num_rows:
                yield batch.select(wanted)
