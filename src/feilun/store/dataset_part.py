"""A part of a data version as a data version of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from feilun.store.arrow import strings
from feilun.store.dataset import Dataset, DatasetWriter, is_media, row_schema
from feilun.store.files import link_or_copy
from feilun.types import Split

__all__ = ["write_part"]


def write_part(
    data: Dataset,
    folder: Path,
    splits: Collection[Split],
    stratum: Callable[[str], str],
    without: Collection[str] = (),
) -> None:
    """Writes the rows of `splits` into `folder`, which is emptied first, but for those whose ids
    are in `without`. Rows are counted by their `stratum`. Media are shared where the file system
    can."""
    import pyarrow.compute as pc

    shutil.rmtree(folder, ignore_errors=True)
    schema, left_out = row_schema(data.columns), strings(list(without))
    with DatasetWriter(folder, data.columns, stratum) as writer:
        for split in splits:
            for batch in data.batches(schema.names, split):
                kept = batch.filter(pc.invert(pc.is_in(batch.column("row_id"), left_out)))
                writer.add_batch(kept.cast(schema))
        if any(is_media(kind) for kind in data.columns.values()):
            shutil.copytree(data.folder / "media", folder / "media", copy_function=link_or_copy)
        writer.close(data.schema, data.info)
