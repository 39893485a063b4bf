"""Datasets of Hugging Face, read without their library: what ``save_to_disk`` wrote, and clones of
dataset repositories."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from feilun.data.sources import as_written
from feilun.data.sources._records import class_names, from_batches, named
from feilun.data.sources._repository import card, parts
from feilun.data.sources._repository import class_names as card_classes
from feilun.data.sources.base import SPLITS, BadRow, Options, Source, Table
from feilun.errors import InvalidData
from feilun.types import Row, Split

__all__ = ["open_tables"]


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """One table a part: a dictionary of datasets keeps its division, a single one has none."""
    folder = Path(location)
    index = folder / "dataset_dict.json"
    if not index.is_file() and not (folder / "state.json").is_file():
        return list(_cloned(folder, options, known))
    if not index.is_file():
        return [_table(folder, folder.name, None)]
    parts = _json(index).get("splits")
    if not isinstance(parts, list) or not parts:
        raise InvalidData("data.damaged", file=index, format="Hugging Face", reason="splits")
    return [
        _table(folder / str(part), f"{folder.name}/{part}", SPLITS.get(str(part).casefold()))
        for part in parts
    ]


def _cloned(folder: Path, options: Options, known: Collection[str]) -> Iterator[Table]:
    """One table a file, each of the part that the repository says it is."""
    content = card(folder)
    classes = card_classes(content)
    for part, files in parts(folder, content):
        for file in files:
            split = SPLITS.get(part.casefold()) if part else None
            for table in as_written(Source(file, options), known):
                yield table.over(
                    table.columns,
                    _named(table.rows(), classes) if classes else table.rows(),
                    name=f"{folder.name}/{file.relative_to(folder).as_posix()}",
                    split=split,
                    details={"repository": folder.name, "part": part or "-"},
                )


def _named(
    rows: Iterator[Row | BadRow], classes: dict[str, dict[int, str]]
) -> Iterator[Row | BadRow]:
    """Rows whose classes have their names instead of numbers; -1 is none."""
    for row in rows:
        if isinstance(row, Row):
            values = dict(row.values)
            for column, names in classes.items():
                number: Any = values.get(column)
                if isinstance(number, str) and number.lstrip("-").isdigit():
                    number = int(number)
                if isinstance(number, list):
                    values[column] = named(number, names)
                elif isinstance(number, int) and not isinstance(number, bool):
                    values[column] = None if number == -1 else names.get(number, str(number))
            row = Row(row.number, values)
        yield row


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
