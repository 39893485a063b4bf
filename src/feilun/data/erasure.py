"""Which rows are about a person, and a data version without them.

A person is named by words that stand in a row (a name, an address, a number), by row ids, or by the
value of the columns that say whose a row is (``group``, ``subject``). Words are compared without
regard to case, as they stand: what is spelt otherwise is another word.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from feilun.data.clean.mending import DROPPED
from feilun.data.content import repeat_key, stored_key
from feilun.data.versions import WAITING
from feilun.errors import UsageError
from feilun.store.dataset import INPUT, Dataset, DatasetWriter, is_media, row_schema
from feilun.tasks import base as tasks

__all__ = ["Found", "Selection", "forms", "search_rows", "without"]

_LEAST = 2  # characters of a word: a Chinese name has no fewer
_KEY = 16


@dataclass(frozen=True)
class Selection:
    """Whom to look for: `texts` that stand in what is kept, ids of `rows`, of `subjects` (the value
    of the columns ``group`` and ``subject``), of `calls` (predictions). Raises `UsageError` for
    nothing, and for a text that is too short to name anybody."""

    texts: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.texts or self.rows or self.subjects or self.calls):
            raise UsageError("erase.nobody")
        for text in self.texts:
            if len(text.strip()) < _LEAST:
                raise UsageError("erase.short", given=text, least=_LEAST)

    def to_json(self) -> dict[str, Any]:
        """As `Selection(**…)` takes it."""
        return {name: list(values) for name, values in asdict(self).items()}

    def needles(self) -> tuple[str, ...]:
        """The texts as they stand in files: plain, in JSON, in HTML; folded."""
        return tuple(dict.fromkeys(form for text in self.texts for form in forms(text)))


def forms(text: str) -> tuple[str, ...]:
    """`text` as it stands in files, folded: plain, in JSON, in HTML."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]
    return tuple(one.casefold() for one in (text, *escaped, html.escape(text)))


@dataclass
class Found:
    """The rows of a data version that are meant: their ids, counts by split, the keys of their
    contents, and the inputs that are texts."""

    ids: list[str] = field(default_factory=list)
    splits: Counter[str] = field(default_factory=Counter)
    keys: set[bytes] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)


def search_rows(data: Dataset, chosen: Selection) -> Found:
    """The rows of `data` that `chosen` means, those that wait for company too."""
    found = Found()
    for part in _parts(data):
        task = tasks.of(part.schema)
        kinds = list(part.columns.items())
        for batch, hit in _batches(part, chosen):
            if not hit.any():
                continue
            for row in batch.filter(_arrow(hit)).to_pylist():
                values = [row[INPUT + name] for name, _ in kinds]
                found.ids.append(row["row_id"])
                found.splits[row["split"]] += 1
                content = stored_key(kinds, values)
                found.keys.add(repeat_key(task, content, row["label"]))
                found.inputs |= {
                    value
                    for value, (_, kind) in zip(values, kinds, strict=True)
                    if isinstance(value, str) and not is_media(kind)
                }
    return found


def without(data: Dataset, chosen: Selection, out: Path, keep_out: set[bytes]) -> Mapping[str, Any]:
    """Writes `data` without the rows that `chosen` means into the empty folder `out`, and returns
    the counts that are left. Contents of the keys `keep_out` do not come in again."""
    _write(data, chosen, out)
    if (data.folder / WAITING).is_dir():
        _write(Dataset(data.folder / WAITING), chosen, out / WAITING)
    known = data.folder / DROPPED
    raw = known.read_bytes() if known.is_file() else b""
    keys = {raw[at : at + _KEY] for at in range(0, len(raw), _KEY)} | keep_out
    if keys:
        (out / DROPPED).write_bytes(b"".join(sorted(keys)))
    return Dataset(out).counts


def _write(data: Dataset, chosen: Selection, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    stratum = tasks.of(data.schema).family.stratum
    media = [INPUT + name for name, kind in data.columns.items() if is_media(kind)]
    with DatasetWriter(out, data.columns, stratum) as writer:
        for batch, hit in _batches(data, chosen):
            kept = batch.filter(_arrow(~hit))
            writer.add_batch(kept.cast(row_schema(data.columns)))
            for name in media:
                for one in kept.column(name).to_pylist():
                    writer.adopt(data.folder, one)
        writer.close(data.schema, data.info)


def _parts(data: Dataset) -> Iterator[Dataset]:
    yield data
    if (data.folder / WAITING).is_dir():
        yield Dataset(data.folder / WAITING)


def _batches(data: Dataset, chosen: Selection) -> Iterator[tuple[Any, np.ndarray]]:
    """Batches of all columns, each with which of its rows are meant."""
    import pyarrow.compute as pc

    names = row_schema(data.columns).names
    texts = [INPUT + name for name, kind in data.columns.items() if not is_media(kind)]
    ids, whose = set(chosen.rows), set(chosen.subjects)
    for batch in data.batches(names):
        hit = np.zeros(batch.num_rows, bool)
        for name in (*texts, "label", "group", "subject"):
            for text in chosen.texts:
                values = batch.column(name).cast("string")
                one = pc.match_substring(values, text, ignore_case=True)
                hit |= pc.fill_null(one, False).to_numpy(zero_copy_only=False)
        for name, wanted in (("row_id", ids), ("group", whose), ("subject", whose)):
            if wanted:
                hit |= np.array([value in wanted for value in batch.column(name).to_pylist()])
        yield batch, hit


def _arrow(hit: np.ndarray) -> Any:
    import pyarrow as pa

    return pa.array(hit)
