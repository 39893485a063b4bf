"""A data version without its test rows, for whatever chooses between trainings."""

from __future__ import annotations

from pathlib import Path

from feilun.store.dataset import FILE, Dataset
from feilun.store.dataset_part import write_part
from feilun.tasks import base as tasks

__all__ = ["without_test_rows"]


def without_test_rows(data: Dataset, folder: Path) -> Path:
    """Writes the training and validation rows of `data` into `folder` and returns it; what is there
    from before stays. What was never there cannot be chosen by."""
    if not (folder / FILE).is_file():
        stratum = tasks.get(data.schema.task).family.stratum
        write_part(data, folder, ("train", "validation"), stratum)
    return folder
