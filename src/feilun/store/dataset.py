"""A data version on disk, to read and to write: typed rows in Parquet, media beside them by hash.

What lies where is told in `_dataset_layout`. Writing and reading stream.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, cast, overload

import numpy as np

from feilun.errors import CorruptArtifact
from feilun.store._dataset_layout import (
    FILE,
    FIXED,
    FORMAT,
    GROUP_ROWS,
    INPUT,
    ROWS,
    is_media,
    media_path,
    row_schema,
    writing,
)
from feilun.store._dataset_writer import DatasetWriter
from feilun.store.arrow import strings
from feilun.types import Example, Item, Schema, Split

__all__ = [
    "FILE",
    "INPUT",
    "ROWS",
    "Dataset",
    "DatasetWriter",
    "is_media",
    "media_path",
    "row_schema",
    "writing",
]


class Dataset:
    """A data version to read. Opening reads ``dataset.json`` alone; rows stream.

    `schema`: the task, its labels, its settings. `info`: what the builder kept. `columns`: input
    columns with their kinds. `counts`: ``{split: {label: rows}}``, ``""`` for unlabelled rows.
    Raises `CorruptArtifact` when the folder holds no whole data version.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        try:
            content = json.loads((self.folder / FILE).read_text("utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}, not {FORMAT}")
            schema = content["schema"]
            self.schema = Schema(schema["task"], tuple(schema["labels"]), schema["settings"])
            self.columns: dict[str, str] = {c["name"]: c["kind"] for c in content["columns"]}
            self.counts: dict[str, dict[str, int]] = content["counts"]
            self.info: dict[str, Any] = content["info"]
            self._length = int(content["rows"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptArtifact("dataset.unreadable", folder=folder, reason=repr(error)) from None

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        parts = ", ".join(f"{split} {self.size(cast(Split, split))}" for split in self.counts)
        return f"Dataset({self.schema.task}, {len(self)} rows: {parts})"

    def size(self, split: Split | None = None) -> int:
        """The number of rows of `split`, or of all."""
        return len(self) if split is None else sum(self.counts.get(split, {}).values())

    def examples(self, split: Split | None = None) -> Iterator[Example]:
        """The rows in their order, one at a time; media are read as they come."""
        names = [*FIXED, *(INPUT + name for name in self.columns)]
        for batch in self.batches(names, split):
            columns = [column.to_pylist() for column in batch.columns]
            inputs = self._inputs(columns[len(FIXED) :])
            for row_id, part, label, group, subject, source, item in zip(
                *columns[: len(FIXED)], inputs, strict=True
            ):
                yield Example(row_id, item, label, part, group, subject, source)

    def items(self, split: Split | None = None) -> Sequence[Item]:
        """The items alone, as a sequence. Texts are held; media are read when asked for."""
        names = [INPUT + name for name in self.columns]
        raw: list[Sequence[Any]] = [[] for _ in names]
        for batch in self.batches(names, split):
            for held, column in zip(raw, batch.columns, strict=True):
                cast(list[Any], held).extend(column.to_pylist())
        if any(is_media(kind) for kind in self.columns.values()):
            return _LazyItems(self, raw)
        return list(self._inputs(raw))

    def labels(self, split: Split | None = None) -> np.ndarray:
        """Positions in ``schema.labels``, int64 (rows,); -1 for rows without a label."""
        places = {label: place for place, label in enumerate(self.schema.labels)}
        found = [places.get(label, -1) for label in self.values("label", split)]
        return np.array(found, np.int64)

    def row_ids(self, split: Split | None = None) -> list[str]:
        """The rows' ids, in the order of `items` and `labels`."""
        return self.values("row_id", split)

    def values(self, column: str, split: Split | None = None) -> list[Any]:
        """One column of ``rows.parquet`` (``group``, ``source``, ``input:text``, …) as a list."""
        return [v for b in self.batches([column], split) for v in b.column(0).to_pylist()]

    def batches(self, columns: Sequence[str], split: Split | None = None) -> Iterator[Any]:
        """`pyarrow.RecordBatch` of `columns`, rows of `split` only; empty ones are left out."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        wanted = list(columns)
        read = [*wanted, *(["split"] if split is not None and "split" not in wanted else [])]
        try:
            with pq.ParquetFile(self.folder / ROWS, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=GROUP_ROWS, columns=read):
                    if split is not None:
                        batch = batch.filter(pc.equal(batch.column("split"), strings([split])[0]))
                    if batch.num_rows:
                        yield batch.select(wanted)
        except (OSError, pa.ArrowException) as error:
            raise CorruptArtifact(
                "dataset.unreadable", folder=self.folder, reason=str(error)
            ) from None

    def search(
        self,
        text: str = "",
        *,
        split: Split | None = None,
        label: str | None = None,
        source: str | None = None,
        rows: Collection[str] | None = None,
        offset: int = 0,
        limit: int = 50,
    ) -> tuple[list[Example], bool]:
        """Up to `limit` rows, in their order, from the `offset`-th match on, and whether more
        follow. `text` stands somewhere in an input, the label or the id, in any case; `label` and
        `source` are whole; `rows` are the ids among which to look. Reading ends with the last row
        that is wanted."""
        import pyarrow.compute as pc

        names = [*FIXED, *(INPUT + name for name in self.columns)]
        among = None if rows is None else strings(list(rows))
        texts = [INPUT + n for n, kind in self.columns.items() if not is_media(kind)]
        found: list[Example] = []
        passed = 0
        for batch in self.batches(names, split):
            for column, wanted in (("label", label), ("source", source)):
                if wanted is not None and batch.num_rows:
                    batch = batch.filter(pc.equal(batch.column(column), strings([wanted])[0]))
            if among is not None and batch.num_rows:
                batch = batch.filter(pc.is_in(batch.column("row_id"), among))
            if text and batch.num_rows:
                hit = None
                for name in (*texts, "label", "row_id"):
                    values = batch.column(name).cast("string")
                    one = pc.fill_null(pc.match_substring(values, text, ignore_case=True), False)
                    hit = one if hit is None else pc.or_(hit, one)
                batch = batch.filter(hit)
            skipped = min(batch.num_rows, max(0, offset - passed))
            passed += skipped
            batch = batch.slice(skipped, limit + 1 - len(found))
            columns = [column.to_pylist() for column in batch.columns]
            inputs = self._inputs(columns[len(FIXED) :])
            for row_id, part, said, group, subject, came_from, item in zip(
                *columns[: len(FIXED)], inputs, strict=True
            ):
                found.append(Example(row_id, item, said, part, group, subject, came_from))
            if len(found) > limit:
                return found[:limit], True
        return found, False

    def media(self, name: str) -> bytes:
        """The bytes of the media file of this hash."""
        path = media_path(self.folder, name)
        try:
            return path.read_bytes()
        except OSError:
            raise CorruptArtifact("dataset.no_media", file=path) from None

    def _inputs(self, raw: Sequence[Sequence[Any]]) -> Iterator[Item]:
        """Items from the raw columns of some rows: hashes become bytes."""
        kinds = list(self.columns.items())
        if len(kinds) == 1:
            if not is_media(kinds[0][1]):
                yield from raw[0]
            else:
                yield from (self.media(name) for name in raw[0])
            return
        for values in zip(*raw, strict=True):
            yield {
                name: self.media(value) if is_media(kind) else value
                for (name, kind), value in zip(kinds, values, strict=True)
            }


class _LazyItems(Sequence[Item]):
    """Items with media: the hashes are held, the bytes are read when an item is asked for."""

    def __init__(self, dataset: Dataset, raw: Sequence[Sequence[Any]]) -> None:
        self._dataset = dataset
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw[0])

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Item]: ...

    def __getitem__(self, place: int | slice) -> Item | Sequence[Item]:
        if isinstance(place, slice):
            return _LazyItems(self._dataset, [column[place] for column in self._raw])
        return next(self._dataset._inputs([[column[place]] for column in self._raw]))
