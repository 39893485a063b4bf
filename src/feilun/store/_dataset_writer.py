"""Writes a data version; how one lies on disk is told in `_dataset_layout`."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

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
from feilun.store.arrow import floats, strings
from feilun.types import Example, Scalar, Schema

__all__ = ["DatasetWriter"]

_GROUP_BYTES = 16 << 20
_SPLITS = ("train", "validation", "test")


class DatasetWriter:
    """Writes a data version into an empty `folder`, row by row, in flat memory.

    `columns` names the input columns in order, each with its kind: ``text``, ``category`` and
    ``number`` stand in the table, everything else (``image``) as a file. The version exists once
    `close` has returned; without it the folder is not a data version. Used as a context manager it
    lets go of its file when the work between fails. `stratum` says under which name rows of a
    target are counted; by default under the target itself.
    """

    def __init__(
        self,
        folder: Path | str,
        columns: Mapping[str, str],
        stratum: Callable[[str], str] | None = None,
    ) -> None:
        import pyarrow.parquet as pq

        self.folder = Path(folder)
        self.columns = dict(columns)
        self._stratum = stratum
        self._media = [is_media(kind) for kind in self.columns.values()]
        self._schema = row_schema(self.columns)
        self._rows: list[list[Any]] = [[] for _ in self._schema]
        self._text = 0
        self._pending: list[Any] = []
        self._pending_rows = 0
        self._pending_bytes = 0
        self._known: set[bytes] = set()
        self._counts: Counter[tuple[str, str | None]] = Counter()
        self._closed = False
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._parquet: Any = pq.ParquetWriter(
                self.folder / ROWS,
                self._schema,
                compression="zstd",
                use_dictionary=["split", "label", "source"],
                store_schema=False,
            )

    def add(self, example: Example) -> None:
        """Appends one row. An item of one column is its scalar, of several a mapping by column.

        Raises `TypeError` for a value that is not of its column's kind.
        """
        rows = self._rows
        fixed = (
            example.row_id,
            example.split,
            example.label,
            example.group,
            example.subject,
            example.source,
        )
        for held, part in zip(rows, fixed, strict=False):
            held.append(part)
        item = example.item
        for position, name in enumerate(self.columns):
            value: Scalar = item.get(name) if isinstance(item, Mapping) else item
            if self._media[position]:
                value = self.put(_as_bytes(name, value))
            elif isinstance(value, str):
                self._text += len(value)
            rows[len(FIXED) + position].append(value)
        if len(rows[0]) >= GROUP_ROWS or self._text >= _GROUP_BYTES:
            self._flush()

    def add_batch(self, batch: Any) -> None:
        """Appends a `pyarrow.RecordBatch` of `row_schema`; media columns hold hashes that `put`
        gave. Raises `TypeError` for a batch of another schema."""
        if not batch.schema.equals(self._schema):
            raise TypeError(f"expected {self._schema}, not {batch.schema}")
        self._flush()
        self._append(batch)

    def _append(self, batch: Any) -> None:
        """Divides rows into row groups. Where a group ends follows from the rows alone, never from
        the way they came: equal rows are equal bytes."""
        split, label = batch.column("split").to_pylist(), batch.column("label").to_pylist()
        if self._stratum is not None:
            label = [one if one is None else self._stratum(one) for one in label]
        self._counts.update(zip(split, label, strict=True))
        ends = np.cumsum(_text_sizes(batch))
        begin = 0
        while begin < batch.num_rows:
            before = ends[begin - 1] if begin else 0
            full = np.searchsorted(ends, before + _GROUP_BYTES - self._pending_bytes) + 1
            end = min(batch.num_rows, begin + GROUP_ROWS - self._pending_rows, int(full))
            self._pending.append(batch.slice(begin, end - begin))
            self._pending_rows += end - begin
            self._pending_bytes += int(ends[end - 1] - before)
            if self._pending_rows >= GROUP_ROWS or self._pending_bytes >= _GROUP_BYTES:
                self._write_group()
            begin = end

    def _write_group(self) -> None:
        import pyarrow as pa

        table = pa.Table.from_batches(self._pending, self._schema).combine_chunks()
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        with writing(self.folder):
            self._parquet.write_table(table, row_group_size=GROUP_ROWS)

    def put(self, data: bytes) -> str:
        """Keeps `data` under ``media/`` (once, however often it comes) and returns its hash."""
        digest = hashlib.sha256(data)
        name = digest.hexdigest()
        if digest.digest() not in self._known:
            with writing(self.folder):
                path = media_path(self.folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            self._known.add(digest.digest())
        return name

    def adopt(self, folder: Path, name: str) -> None:
        """Keeps the media file `name` of the data version in `folder`, sharing its bytes on disk
        where the file system can. Does nothing when it is here already."""
        key = bytes.fromhex(name)
        if key in self._known:
            return
        source, target = media_path(folder, name), media_path(self.folder, name)
        with writing(self.folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.hardlink_to(source)
            except FileNotFoundError:
                raise CorruptArtifact("dataset.no_media", file=source) from None
            except OSError:
                target.write_bytes(source.read_bytes())
        self._known.add(key)

    def keep_media(self, names: set[str]) -> None:
        """Removes media files that no row refers to: `names` are the hashes to keep."""
        for key in [key for key in self._known if key.hex() not in names]:
            media_path(self.folder, key.hex()).unlink(missing_ok=True)
            self._known.discard(key)

    def close(self, schema: Schema, info: Mapping[str, Any] | None = None) -> None:
        """Writes what is held and ``dataset.json``. `schema` says what the labels mean; `info` is
        kept as it is (JSON) and belongs to the version's identity: no times, no paths in it."""
        self._flush()
        if self._pending:
            self._write_group()
        with writing(self.folder):
            self._parquet.close()
        self._closed = True
        content = {
            "format": FORMAT,
            "columns": [{"name": name, "kind": kind} for name, kind in self.columns.items()],
            "schema": asdict(schema),
            "rows": self._counts.total(),
            "counts": self._tables(schema),
            "info": dict(info or {}),
        }
        text = json.dumps(content, ensure_ascii=False, indent=2)
        aside = self.folder / f".{FILE}"
        with writing(self.folder):
            aside.write_text(text + "\n", "utf-8")
            aside.replace(self.folder / FILE)

    def _tables(self, schema: Schema) -> dict[str, dict[str, int]]:
        """Rows by split and label, both in their order; unlabelled rows last, under ``""``."""
        counts: dict[str, dict[str, int]] = {}
        labels = {label: place for place, label in enumerate(schema.labels)}
        for split, label in sorted(
            self._counts,
            key=lambda key: (
                _SPLITS.index(key[0]),
                labels.get(key[1] or "", len(labels)),
                key[1] or "",
            ),
        ):
            counts.setdefault(split, {})[label or ""] = self._counts[split, label]
        return counts

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if not self._closed and kind is not None:
            self._closed = True
            try:
                self._parquet.close()
            except OSError:  # the failure that is already on its way says more
                return

    def _flush(self) -> None:
        if not self._rows[0]:
            return
        import pyarrow as pa

        arrays = []
        for field, values in zip(self._schema, self._rows, strict=True):
            try:
                arrays.append(floats(values) if field.type == pa.float64() else strings(values))
            except (TypeError, ValueError) as error:
                raise TypeError(f"column {field.name}: {error}") from None
        batch = pa.record_batch(arrays, schema=self._schema)
        self._rows = [[] for _ in self._schema]
        self._text = 0
        self._append(batch)


def _text_sizes(batch: Any) -> np.ndarray:
    """Bytes of each row's texts, int64 (rows,)."""
    import pyarrow as pa

    sizes = np.zeros(batch.num_rows, np.int64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name.startswith(INPUT) and pa.types.is_string(column.type):
            ends = np.frombuffer(column.buffers()[1], np.int32)
            sizes += np.diff(ends[column.offset : column.offset + len(column) + 1])
    return sizes


def _as_bytes(name: str, value: Scalar) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"column {name} takes bytes, not {type(value).__name__}")
    return value
