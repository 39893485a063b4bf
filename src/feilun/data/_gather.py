"""The first pass: every usable row goes to a spill file, and a few numbers of it stay in memory.

About 40 bytes a row are held, whatever the rows hold: the key of its content, its label's number,
its split, its origin, the keys of its group and of its id, and its time where that divides.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Container, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from feilun.data.content import content_key, row_key, stored_key
from feilun.store.arrow import floats, strings
from feilun.store.dataset import INPUT, Dataset, DatasetWriter, is_media, row_schema, writing
from feilun.tasks.base import TaskBase
from feilun.types import Example, Item

__all__ = [
    "CORRECTION",
    "LEFT_OUT",
    "NEW",
    "PREVIOUS",
    "RELABEL",
    "WAITED",
    "Gathered",
    "Rewriter",
    "Rows",
]

PREVIOUS, NEW, CORRECTION, LEFT_OUT, WAITED, RELABEL = 0, 1, 2, 3, 4, 5
"""Where a row comes from; `LEFT_OUT` rows of the previous version must not come again, `WAITED`
ones were beside it because feedback had brought too few of their label, `RELABEL` ones come from a
file whose labels replace those of the previous version."""

_BATCH_ROWS = 8192
_BATCH_TEXT = 16 << 20
_KEPT = ("row_id", "group", "subject", "source")
_KEY = np.dtype(">u8")
_COPY = re.compile(r"~\d+\Z")  # what `Ids` appends


class Rows:
    """What stays in memory of each row, as arrays of equal length (see the module)."""

    def __init__(self) -> None:
        self.keys = bytearray()
        self.labels = array("i")
        self.splits = array("b")
        self.origins = array("b")
        self.groups = bytearray()
        self.ids = bytearray()
        self.identities = array("Q")
        self.grouped = False
        self.timed = False
        self.times = array("d")

    def __len__(self) -> int:
        return len(self.labels)

    def key_halves(self) -> tuple[np.ndarray, np.ndarray]:
        """The keys of the contents as two arrays, uint64 (rows,)."""
        keys = np.frombuffer(self.keys, _KEY).reshape(-1, 2)
        return keys[:, 0].astype(np.uint64), keys[:, 1].astype(np.uint64)

    def set_keys(self, low: np.ndarray, groups: np.ndarray) -> None:
        """Other second halves of the contents' keys, and other keys of groups, uint64 (rows,)."""
        high = self.key_halves()[0]
        self.keys = bytearray(np.stack([high, low], axis=1).astype(_KEY).tobytes())
        self.groups = bytearray(groups.astype(_KEY).tobytes())

    def group_keys(self) -> np.ndarray:
        """uint64 (rows,); rows without a group are their own."""
        return np.frombuffer(self.groups, _KEY).astype(np.uint64)

    def named(self) -> np.ndarray:
        """Which rows have an id of the user's own, bool (rows,). Known of observations alone: of
        other rows any id may be one."""
        if not self.identities:
            return np.ones(len(self), bool)
        own: np.ndarray = np.frombuffer(self.identities, np.uint64) != 0
        return own

    def id_keys(self) -> np.ndarray:
        """uint64 (rows,)."""
        return np.frombuffer(self.ids, _KEY).astype(np.uint64)


class Rewriter(Protocol):
    """Changes or drops rows of the previous version."""

    def row(
        self, place: int, row_id: str, key: bytes, label: str, cells: list[Any], split: int
    ) -> tuple[str, bytes, str] | None:
        """Label, key and id of the row at `place` as it is now; None when it is dropped."""

    def rewrite(self, batch: Any, begin: int) -> Any:
        """A record batch, whose first row is at `begin`, as its rows are now."""


class Gathered:
    """Rows as they come in. `labels` are all labels met, a row holds its label's place in them."""

    def __init__(
        self,
        spill: Path,
        columns: Mapping[str, str],
        writer: DatasetWriter,
        task: TaskBase,
        by: Literal["group", "subject", "time", "series"] = "group",
    ) -> None:
        import pyarrow as pa

        self.rows = Rows()
        self.rows.timed = by in ("time", "series")
        self.by_series = by == "series"
        self._by_subject = by == "subject"
        self._family = task.family
        # Rows that share their input alone are no duplicates, and yet stand in one split.
        self._by_input = task.family.several_right and not task.recurring
        self._observations = task.observations
        self.rows.grouped = self._by_input
        self.labels: list[str] = []
        self.previous: Dataset | None = None
        self._rewrite: Callable[[Any, int], Any] | None = None
        self._codes: dict[str, int] = {}
        self._columns = dict(columns)
        self._media = {name for name, kind in columns.items() if is_media(kind)}
        self._writer = writer
        self._path = spill
        full = row_schema(columns)
        self._schema = pa.schema(
            [full.field(name) for name in full.names if name not in ("split", "label")]
        )
        self._cells: list[list[Any]] = [[] for _ in self._schema]
        self._text = 0
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with writing(spill):
            self._file = pa.OSFile(str(spill), "wb")
            self._stream = pa.ipc.new_stream(self._file, self._schema, options=options)

    def code(self, label: str) -> int:
        """The place of `label` in `labels`, appended when it is new."""
        code = self._codes.get(label)
        if code is None:
            code = self._codes[label] = len(self.labels)
            self.labels.append(label)
        return code

    def add(self, example: Example, key: bytes, split: int, origin: int) -> None:
        """One usable, labelled row. `key` is that of its content, `split` a number or `AUTO`."""
        cells = self._cells
        cells[0].append(example.row_id or key.hex()[:20])
        cells[1].append(example.group)
        cells[2].append(example.subject)
        cells[3].append(example.source)
        item = example.item
        if type(item) is str:  # by far the most frequent
            self._text += len(item)
            cells[4].append(item)
        else:
            self._append(item)
        group = self._group(example.group, example.subject)
        alone = content_key(item) if self._by_input else key
        label = example.label or ""
        self._note(key, label, split, origin, group, example.row_id, example.time, alone=alone)
        if len(cells[0]) >= _BATCH_ROWS or self._text >= _BATCH_TEXT:
            self._flush()

    def _append(self, item: Item) -> None:
        for place, name in enumerate(self._columns, len(_KEPT)):
            value = item.get(name) if isinstance(item, Mapping) else item
            if name in self._media:
                value = self._writer.put(value)  # type: ignore[arg-type]  # the task checked it
            elif isinstance(value, str):
                self._text += len(value)
            self._cells[place].append(value)

    def add_previous(
        self,
        data: Dataset,
        splits: Mapping[str, int],
        exclude: Container[bytes],
        mending: Rewriter | None = None,
    ) -> int:
        """All rows of the previous version. They are not copied to the spill: the second pass
        reads them where they are. Rows of the contents `exclude` are marked `LEFT_OUT` and
        counted. `mending` changes rows or drops them, which are marked alike and not counted."""
        self.previous = data
        self._rewrite = mending.rewrite if mending is not None else None
        left_out = 0
        inputs = [INPUT + name for name in data.columns]
        kinds = list(data.columns.items())
        for batch in data.batches(["row_id", "split", "label", "group", "subject", *inputs]):
            for row_id, part, label, group, subject, *cells in zip(
                *(column.to_pylist() for column in batch.columns), strict=True
            ):
                content = stored_key(kinds, cells)
                key = row_key(self._family, content, label)
                gone = key in exclude
                left_out += gone
                if mending is not None and not gone:
                    place = len(self.rows)
                    mended = mending.row(place, row_id, key, label or "", cells, splits[part])
                    gone = mended is None
                    label, key, row_id = mended or (label, key, row_id)
                own = "" if row_id == key.hex()[:20] else row_id
                origin = LEFT_OUT if gone else PREVIOUS
                together = self._group(group, subject)
                alone = content if self._by_input else key
                self._note(key, label or "", splits[part], origin, together, own, alone=alone)
        return left_out

    def _group(self, group: str, subject: str) -> str:
        return (subject or group) if self._by_subject else group

    def _note(
        self,
        key: bytes,
        label: str,
        split: int,
        origin: int,
        group: str,
        row_id: str,
        time: float | None = None,
        *,
        alone: bytes,
    ) -> None:
        rows = self.rows
        if rows.timed:
            rows.times.append(math.nan if time is None else time)
        rows.keys += key
        if self._observations:
            rows.identities.append(_identity(row_id, key))
        rows.labels.append(self.code(label))
        rows.splits.append(split)
        rows.origins.append(origin)
        if group:
            rows.grouped = True
            rows.groups += blake2b(b"g" + group.encode("utf-8", "replace"), digest_size=8).digest()
        else:
            rows.groups += alone[:8]
        if row_id:
            rows.ids += blake2b(row_id.encode("utf-8", "replace"), digest_size=8).digest()
        else:
            rows.ids += key[:8]

    def _flush(self) -> None:
        import pyarrow as pa

        if self._cells[0]:
            batch = pa.record_batch(
                [
                    floats(cells) if field.type == pa.float64() else strings(cells)
                    for field, cells in zip(self._schema, self._cells, strict=True)
                ],
                schema=self._schema,
            )
            self._cells = [[] for _ in self._schema]
            self._text = 0
            with writing(self._path):
                self._stream.write_batch(batch)

    def finish(self) -> None:
        """Ends the first pass; `batches` may follow."""
        self._flush()
        self.close()

    def close(self) -> None:
        """Lets go of the spill file."""
        if self._file.closed:
            return
        with writing(self._path):
            try:
                self._stream.close()
            finally:
                self._file.close()

    def batches(self) -> Iterator[Any]:
        """Record batches of all rows in the order in which they came, without split and label."""
        import pyarrow as pa

        if self.previous is not None:
            begin = 0
            names = self._schema.names
            for batch in self.previous.batches([*names, "label"]):
                if self._rewrite is not None:
                    batch = self._rewrite(batch, begin)
                yield batch.select(names)
                begin += batch.num_rows
        with pa.OSFile(str(self._path)) as raw, pa.ipc.open_stream(raw) as stream:
            yield from stream


def _identity(row_id: str, key: bytes) -> int:
    """A number for the user's own id of a row, 0 where the id was made of the content."""
    name = _COPY.sub("", row_id)
    if not name or name == key.hex()[:20]:
        return 0
    return int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), "big")
