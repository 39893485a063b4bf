"""The second pass: what was decided is written, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from feilun.data._decide import Decision
from feilun.data._gather import Gathered
from feilun.data._ticker import Ticker
from feilun.data.splits import SPLITS
from feilun.store.arrow import numbers, strings
from feilun.store.dataset import INPUT, DatasetWriter, is_media, row_schema

__all__ = ["Ids", "write_rows"]


class Ids:
    """Makes ids unique among the kept rows: of rows with one id and different contents the later
    ones are called ``id~2``, ``id~3``. `renamed` counts those whose id was the user's own."""

    def __init__(self, gathered: Gathered, keep: np.ndarray) -> None:
        kept = np.flatnonzero(keep)
        keys = gathered.rows.id_keys()[kept]
        order = np.argsort(keys, kind="stable")
        self._known = keys[order]
        again = np.flatnonzero(self._known[1:] == self._known[:-1]) + 1
        self._again = set(kept[order[again]].tolist())
        self._given: set[str] = set()
        self.renamed = int(gathered.rows.named()[sorted(self._again)].sum())

    def apply(self, ids: list[str], rows: np.ndarray) -> list[str]:
        """The ids of `rows`, some of them renamed."""
        if not self._again:
            return ids
        return [
            self._free(name) if row in self._again else name
            for name, row in zip(ids, rows.tolist(), strict=True)
        ]

    def _free(self, name: str) -> str:
        copy = 2
        while (new := f"{name}~{copy}") in self._given or self._taken(new):
            copy += 1
        self._given.add(new)
        return new

    def _taken(self, name: str) -> bool:
        digest = blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
        key = np.uint64(int.from_bytes(digest, "big"))
        place = int(np.searchsorted(self._known, key))
        return place < len(self._known) and bool(self._known[place] == key)


def write_rows(
    gathered: Gathered,
    mask: np.ndarray,
    decision: Decision,
    writer: DatasetWriter,
    *,
    kinds: Mapping[str, str],
    media_from: Path | None,
    ids: Ids,
    fresh: np.ndarray | None = None,
    tick: Ticker | None = None,
) -> tuple[set[str], list[str]]:
    """Writes the rows of `mask`. Media that `writer` does not have come from the version in
    `media_from`. Returns the hashes of all media and the ids of the rows marked in `fresh`."""
    media: set[str] = set()
    new_ids: list[str] = []
    columns = [INPUT + name for name, kind in kinds.items() if is_media(kind)]
    for rows, batch in _parts(gathered, mask, decision, row_schema(kinds), ids):
        for name in columns:
            hashes = batch.column(name).to_pylist()
            media.update(hashes)
            if media_from is not None:
                for value in hashes:
                    writer.adopt(media_from, value)
        writer.add_batch(batch)
        if fresh is not None and fresh[rows].any():
            names = batch.column("row_id").to_pylist()
            new_ids += [names[place] for place in np.flatnonzero(fresh[rows]).tolist()]
        if tick is not None:
            tick(int(rows[-1]) + 1)
    return media, new_ids


def _parts(
    gathered: Gathered, mask: np.ndarray, decision: Decision, schema: Any, ids: Ids
) -> Iterator[tuple[np.ndarray, Any]]:
    """The rows of `mask`, as their numbers and a record batch with id, label and split."""
    import pyarrow as pa

    splits, labels = strings(SPLITS), strings(gathered.labels)
    end = 0
    for batch in gathered.batches():
        begin, end = end, end + batch.num_rows
        chosen = np.flatnonzero(mask[begin:end])
        if not len(chosen):
            continue
        rows = chosen + begin
        batch = batch.take(numbers(chosen))
        names = ids.apply(batch.column("row_id").to_pylist(), rows)
        made = {
            "row_id": strings(names),
            "split": splits.take(numbers(np.maximum(decision.split[rows], 0))),
            "label": labels.take(numbers(decision.label[rows])),
        }
        arrays = [made[n] if n in made else batch.column(n) for n in schema.names]
        yield rows, pa.record_batch(arrays, schema=schema)
