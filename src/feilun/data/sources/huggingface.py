"""Folders that ``datasets`` wrote with ``save_to_disk``, read without that library."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from feilun.data.sources._records import class_names, from_batches
from feilun.data.sources.base import Options, Table
from feilun.errors import InvalidData
from feilun.types import Split

__all__ = ["SPLITS", "open_tables"]

SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What people call the parts of a divided dataset."""


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """One table a part: a dictionary of datasets keeps its division, a single one has none."""
    folder = Path(location)
    index = folder / "dataset_dict.json"
    if not index.is_file():
        return [_table(folder, folder.name, None)]
    parts = _json(index).get("splits")
    if not isinstance(parts, list) or not parts:
        raise InvalidData("data.damaged", file=index, format="Hugging Face", reason="splits")
    return [
        _table(folder / str(part), f"{folder.name}/{part}", SPLITS.get(str(part).casefold()))
        for part in parts
    ]


def _table(folder: Path, name: str, split: Split | None) -> Table:
    import pyarrow as pa

    info, state = _json(folder / "dataset_info.json"), _json(folder / "state.json")
    files = [folder / Path(str(f["filename"])).name for f in state.get("_data_files") or []]
    if not files:
        raise InvalidData("data.empty_file", file=folder)
    try:
        with pa.memory_map(str(files[0])) as raw, pa.ipc.open_stream(raw) as stream:
            columns = stream.schema.names
    except (OSError, pa.ArrowException) as error:
        raise InvalidData(
            "data.damaged", file=files[0], format="Arrow", reason=str(error)
        ) from None
    return Table(
        name,
        columns,
        from_batches(_batches(files), class_names(info.get("features") or {})),
        folder=folder,
        split=split,
        details={"format": "Hugging Face", "files": len(files)},
        total=_rows_of(info),
    )


def _rows_of(info: dict[str, Any]) -> int:
    parts = info.get("splits") or {}
    sizes = [part.get("num_examples") for part in parts.values() if isinstance(part, dict)]
    return sizes[0] if len(sizes) == 1 and isinstance(sizes[0], int) else 0


def _batches(files: list[Path]) -> Iterator[Any]:
    import pyarrow as pa

    for file in files:
        try:
            with pa.memory_map(str(file)) as raw, pa.ipc.open_stream(raw) as stream:
                yield from stream
        except (OSError, pa.ArrowException) as error:
            raise InvalidData(
                "data.damaged", file=file, format="Arrow", reason=str(error)
            ) from None


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidData("data.damaged", file=file, format="JSON", reason=str(error)) from None
    if not isinstance(content, dict):
        raise InvalidData("data.damaged", file=file, format="JSON", reason=type(content).__name__)
    return content
