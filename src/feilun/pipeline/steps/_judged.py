"""The rows that versions are judged on: the newest frozen test rows that none of them learned.

Rows that are there because somebody corrected an answer do not judge: the version that gave the
answer is wrong on them by selection, and any other version looks better than it is. Data versions
that were made before this was known have such test rows; their source tells them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun.data.content import row_key, stored_key
from feilun.engines.base import Engine
from feilun.errors import InvalidData
from feilun.pipeline.context import Context
from feilun.pipeline.steps._drawn import unanswered
from feilun.store.dataset import INPUT, Dataset
from feilun.store.drawn import SOURCE
from feilun.store.records import DataVersion, ModelVersion
from feilun.tasks import base as tasks
from feilun.types import Split

__all__ = ["Judged", "judged_rows", "newest", "spared"]

_ASKED = 100
"""Rows that a costly engine answers where more would only be looked at."""


class Judged(Dataset):
    """A data version without the test rows that were `selected` by being corrected, and without
    those whose contents are `seen` and those of the ids `known`; `left_out` counts both."""

    def __init__(
        self, folder: Path, seen: Collection[bytes] = (), known: Collection[str] = ()
    ) -> None:
        super().__init__(folder)
        self._without: frozenset[str] = frozenset()
        sources = zip(self.row_ids("test"), self.values("source", "test"), strict=True)
        chosen = frozenset(row for row, source in sources if source == SOURCE)
        learned = frozenset(known).intersection(self.row_ids("test")) - chosen
        if seen:
            keyed = zip(self.row_ids("test"), _keys(self, "test"), strict=True)
            learned |= frozenset(row for row, key in keyed if key in seen) - chosen
        self.selected, self.left_out = len(chosen), len(learned)
        self._without = chosen | learned

    def batches(self, columns: Sequence[str], split: Split | None = None) -> Iterator[Any]:
        """As the data version has them, without the rows left out."""
        if not self._without:
            yield from super().batches(columns, split)
            return
        import pyarrow as pa

        wanted = list(columns)
        for batch in super().batches([*wanted, "row_id"], split):
            ids = batch.column(len(wanted)).to_pylist()
            kept = batch.filter(pa.array([row not in self._without for row in ids], pa.bool_()))
            if kept.num_rows:
                yield kept.select(range(len(wanted)))


def newest(context: Context, model: ModelVersion) -> DataVersion:
    """The data version whose test rows judge `model`: the project's latest. Raises `NotFound` for a
    model that was imported: nobody knows which rows it learned."""
    own = context.data_of(model)
    return context.store.catalog.latest_data(context.project) or own


def judged_rows(context: Context, data: DataVersion, versions: Iterable[ModelVersion]) -> Judged:
    """The test rows of `data` that none of `versions` was trained or calibrated on. A row keeps its
    split from version to version; one that went and came again, after ``data use``, may stand in
    another. Drawn rows that one of them learned judge where it answered them out of fold. Raises
    `InvalidData` when none is left."""
    versions = list(versions)
    folder = context.store.artifacts.path(data.artifact)
    whole = Judged(folder)
    wanted = set(_keys(whole, "test"))
    others = {one.data_version for one in versions} - {data.id, None}
    seen: set[bytes] = set()
    for name in sorted(str(other) for other in others):
        learned = context.dataset(context.store.catalog.data_version(name))
        for split in ("train", "validation"):
            seen.update(key for key in _keys(learned, split) if key in wanted)
    known: set[str] = set()
    for one in versions:
        known |= unanswered(context, one)
    if not seen and not known:
        return whole
    if seen >= wanted:
        raise InvalidData("evaluation.all_learned", data=data.id, rows=len(wanted))
    return Judged(folder, seen, known)


def _keys(data: Dataset, split: Split) -> Iterator[bytes]:
    """What tells each row from others: of observations, which may be equal, the id."""
    task = tasks.get(data.schema.task)
    if task.observations:
        yield from (row.encode() for row in data.row_ids(split))
        return
    kinds = list(data.columns.items())
    for batch in data.batches(["label", *(INPUT + name for name, _ in kinds)], split):
        for label, *values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield row_key(task.family, stored_key(kinds, values), label)


def spared(engine: Engine, rows: int) -> np.ndarray:
    """The places of the rows, of so many, that `engine` is asked beside the test rows: all, or 100
    of them evenly spread where it is costly."""
    if not engine.info.get("costly") or rows <= _ASKED:
        return np.arange(rows)
    return np.linspace(0, rows - 1, _ASKED).round().astype(np.int64)
