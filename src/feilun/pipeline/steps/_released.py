"""Answers that were drawn at random judge one update, and train from the next one on.

They are what customers ask, with labels that nobody chose by the answer: the best rows to learn
from that there are. Once they have judged, what comes next is judged by answers drawn since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from feilun.feedback.to_data import DRAWN
from feilun.store.dataset import Dataset
from feilun.types import Split

__all__ = ["Released"]


class Released(Dataset):
    """A data version whose drawn test rows are training rows; `released` are their ids. For who
    reads all rows: the counts are those of the version as it lies there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        sources = zip(self.row_ids("test"), self.values("source", "test"), strict=True)
        self.released = tuple(row for row, source in sources if source == DRAWN)

    def batches(self, columns: Sequence[str], split: Split | None = None) -> Iterator[Any]:
        """As the data version has them, but for the splits of the released rows."""
        if "split" not in columns or split is not None or not getattr(self, "released", ()):
            yield from super().batches(columns, split)
            return
        import pyarrow as pa

        moved, wanted = frozenset(self.released), list(columns)
        at = wanted.index("split")
        for batch in super().batches([*wanted, "row_id"]):
            ids = batch.column(len(wanted)).to_pylist()
            splits = zip(ids, batch.column(at).to_pylist(), strict=True)
            now = ["train" if row in moved else was for row, was in splits]
            arrays = [batch.column(place) for place in range(len(wanted))]
            arrays[at] = pa.array(now, arrays[at].type)
            yield pa.record_batch(arrays, names=wanted)
