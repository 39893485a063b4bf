"""A data version without its test rows, for whatever chooses between trainings."""

from __future__ import annotations

import shutil
from pathlib import Path

from feilun.store.dataset import FILE, Dataset, DatasetWriter, is_media, row_schema
from feilun.store.files import link_or_copy
from feilun.tasks import base as tasks
from feilun.types import Split

__all__ = ["without_test_rows"]


def without_test_rows(data: Dataset, folder: Path) -> Path:
    """Writes the training and validation rows of `data` into `folder` and returns it; what is there
    from before stays. What was never there cannot be chosen by."""
    if (folder / FILE).is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    media = any(is_media(kind) for kind in data.columns.values())
    schema, stratum = row_schema(data.columns), tasks.get(data.schema.task).family.stratum
    splits: tuple[Split, ...] = ("train", "validation")
    with DatasetWriter(folder, data.columns, stratum) as writer:
        for split in splits:
            for batch in data.batches(schema.names, split):
                writer.add_batch(batch.cast(schema))
        if media:
            shutil.copytree(data.folder / "media", folder / "media", copy_function=link_or_copy)
        writer.close(data.schema, data.info)
    return folder
