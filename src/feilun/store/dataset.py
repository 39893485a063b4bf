"""A data version on disk: typed rows in Parquet, media beside them by hash, and what they mean.

::

    rows.parquet            row_id, split, label, group, subject, source, and input:<column> each
    media/<2>/<sha256>      the bytes of images; their rows hold the hash
    dataset.json            schema, counts, column kinds, info

Equal rows in equal order give equal bytes, because the hash of the folder is the identity of the
data version: nothing here holds a time or a path of this machine. Writing and reading stream.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, cast, overload

import numpy as np

from feilun.errors import CorruptArtifact, EnvironmentProblem
from feilun.store.arrow import floats, strings
from feilun.types import Example, Item, Scalar, Schema, Split

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

FILE = "dataset.json"
ROWS = "rows.parquet"
INPUT = "input:"
"""Prefix of input columns in the Parquet file: a user's column may be called ``label`` too."""

_FORMAT = 1
_FIXED = ("row_id", "split", "label", "group", "subject", "source")
_GROUP_ROWS = 8192
_GROUP_BYTES = 16 << 20


def is_media(kind: str) -> bool:
    """Whether a column of this kind keeps its values as files under ``media/``."""
    return kind not in ("text", "category", "number")


def row_schema(columns: Mapping[str, str]) -> Any:
    """The Arrow schema of ``rows.parquet`` for input `columns` (name → kind)."""
    import pyarrow as pa

    fields = [pa.field(name, pa.string(), nullable=name == "label") for name in _FIXED]
    for name, kind in columns.items():
        fields.append(pa.field(INPUT + name, pa.float64() if kind == "number" else pa.string()))
    return pa.schema(fields)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns what the operating system refuses (a full disk first of all) into our error."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        code = "dataset.disk_full" if full else "dataset.cannot_write"
        raise EnvironmentProblem(code, folder=folder, reason=error.strerror or str(error)) from None


class DatasetWriter:
    """Writes a data version into an empty `folder`, row by row, in flat memory.

    `columns` names the input columns in order, each with its kind: ``text``, ``category`` and
    ``number`` stand in the table, everything else (``image``) as a file. The version exists once
    `close` has returned; without it the folder is not a data version. Used as a context manager it
    lets go of its file when the work between fails.
    """

    def __init__(self, folder: Path | str, columns: Mapping[str, str]) -> None:
        import pyarrow.parquet as pq

        self.folder = Path(folder)
        self.columns = dict(columns)
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
            rows[len(_FIXED) + position].append(value)
        if len(rows[0]) >= _GROUP_ROWS or self._text >= _GROUP_BYTES:
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
        self._counts.update(zip(split, label, strict=True))
        ends = np.cumsum(_text_sizes(batch))
        begin = 0
        while begin < batch.num_rows:
            before = ends[begin - 1] if begin else 0
            full = np.searchsorted(ends, before + _GROUP_BYTES - self._pending_bytes) + 1
            end = min(batch.num_rows, begin + _GROUP_ROWS - self._pending_rows, int(full))
            self._pending.append(batch.slice(begin, end - begin))
            self._pending_rows += end - begin
            self._pending_bytes += int(ends[end - 1] - before)
            if self._pending_rows >= _GROUP_ROWS or self._pending_bytes >= _GROUP_BYTES:
                self._write_group()
            begin = end

    def _write_group(self) -> None:
        import pyarrow as pa

        table = pa.Table.from_batches(self._pending, self._schema).combine_chunks()
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        with writing(self.folder):
            self._parquet.write_table(table, row_group_size=_GROUP_ROWS)

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
        counts: dict[str, dict[str, int]] = {}
        order = {label: place for place, label in enumerate(schema.labels)}
        for split, label in sorted(
            self._counts,
            key=lambda key: (key[0], order.get(key[1] or "", len(order)), key[1] or ""),
        ):
            counts.setdefault(split, {})[label or ""] = self._counts[split, label]
        content = {
            "format": _FORMAT,
            "columns": [{"name": name, "kind": kind} for name, kind in self.columns.items()],
            "schema": asdict(schema),
            "rows": self._counts.total(),
            "counts": counts,
            "info": dict(info or {}),
        }
        text = json.dumps(content, ensure_ascii=False, indent=2)
        aside = self.folder / f".{FILE}"
        with writing(self.folder):
            aside.write_text(text + "\n", "utf-8")
            aside.replace(self.folder / FILE)

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
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']}, not {_FORMAT}")
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
        names = [*_FIXED, *(INPUT + name for name in self.columns)]
        for batch in self.batches(names, split):
            columns = [column.to_pylist() for column in batch.columns]
            inputs = self._inputs(columns[len(_FIXED) :])
            for row_id, part, label, group, subject, source, item in zip(
                *columns[: len(_FIXED)], inputs, strict=True
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
                for batch in file.iter_batches(batch_size=_GROUP_ROWS, columns=read):
                    if split is not None:
                        batch = batch.filter(pc.equal(batch.column("split"), strings([split])[0]))
                    if batch.num_rows:
                        yield batch.select(wanted)
        except (OSError, pa.ArrowException) as error:
            raise CorruptArtifact(
                "dataset.unreadable", folder=self.folder, reason=str(error)
            ) from None

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


def media_path(folder: Path, name: str) -> Path:
    """Where the media file of this hash lies in `folder`."""
    return folder / "media" / name[:2] / name


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
