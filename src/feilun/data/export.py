"""Rows of a data version for labelling tools: Label Studio, doccano, a spreadsheet.

Each row carries its id, so that what comes back finds its row (``feilun data clean --relabel``).
Pictures lie in a folder beside the file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from feilun.errors import Conflict, InvalidData, UsageError
from feilun.store.dataset import Dataset, is_media, writing
from feilun.types import Example, Split

__all__ = ["FORMATS", "Exported", "export"]

FORMATS = ("label-studio", "doccano", "csv")
_SUFFIXES = {".json": "label-studio", ".jsonl": "doccano", ".csv": "csv"}
_MAGIC = (
    (b"\x89PNG", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\x00", ".tiff"),
    (b"MM\x00*", ".tiff"),
)
_LOCAL = "/data/local-files/?d="


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: `rows`, and beside `file` the folder of `media` and the labelling
    interface `config`, where there are any."""

    rows: int
    format: str
    file: Path
    media: Path | None = None
    config: Path | None = None


def export(
    data: Dataset,
    file: Path,
    *,
    format: str | None = None,
    split: Split | None = None,
    only: Collection[str] | None = None,
) -> Exported:
    """Writes the rows of `data`, of `split` or those with an id in `only`, to `file`, as a stream.
    `format` is one of `FORMATS`, by default what the suffix says. Raises `Conflict` when `file`
    exists, `InvalidData` when no row is asked for."""
    name = format or _SUFFIXES.get(file.suffix.lower(), "")
    if name not in FORMATS:
        raise UsageError("formats.unknown", format=name or file.suffix, options=FORMATS)
    pictures = any(is_media(kind) for kind in data.columns.values())
    if name == "doccano" and pictures and file.suffix.lower() == ".csv":
        raise InvalidData("formats.csv_pictures", suffix=".csv")
    media = file.with_name(f"{file.stem}_files") if pictures else None
    config = file.with_name(f"{file.stem}_interface.xml") if name == "label-studio" else None
    for target in (file, media, config):
        if target is not None and target.exists():
            raise Conflict("formats.exists", file=target)
    writer = {"label-studio": _label_studio, "doccano": _doccano, "csv": _csv}[name]
    aside = file.with_name(f".{file.name}.part")
    rows = (one for one in data.examples(split) if only is None or one.row_id in only)
    try:
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("w", encoding="utf-8-sig" if _table(name, file) else "utf-8") as out:
                written = writer(out, _listed(rows, data, file, media), data, file)
            if not written:
                raise InvalidData("formats.nothing_to_export", version=file.name)
            aside.replace(file)
            if config is not None:
                config.write_text(_interface(data), "utf-8")
    finally:
        aside.unlink(missing_ok=True)
    return Exported(written, name, file, media, config)


def _table(name: str, file: Path) -> bool:
    # Spreadsheets take UTF-8 for what it is only behind a mark of its own.
    return name == "csv" or (name == "doccano" and file.suffix.lower() == ".csv")


Rows = Iterator[tuple[dict[str, Any], Example]]


def _listed(rows: Iterator[Example], data: Dataset, file: Path, media: Path | None) -> Rows:
    """Each row's inputs by column, pictures as paths relative to `file`."""
    places = count(1)
    for example in rows:
        item = example.item
        values = dict(item) if isinstance(item, Mapping) else {next(iter(data.columns)): item}
        for column, value in values.items():
            if isinstance(value, bytes) and media is not None:
                media.mkdir(parents=True, exist_ok=True)
                path = media / f"{next(places):06d}{_suffix(value)}"
                path.write_bytes(value)
                values[column] = f"{media.name}/{path.name}"
        yield values, example


def _suffix(data: bytes) -> str:
    if data[:4] == b"RIFF":
        return ".webp"
    return next((suffix for magic, suffix in _MAGIC if data.startswith(magic)), ".png")


def _about(example: Example) -> dict[str, str]:
    """What goes beside the inputs and the label; empty ones are left out."""
    about = {
        "row_id": example.row_id,
        "split": example.split,
        "group": example.group,
        "subject": example.subject,
        "source": example.source,
    }
    return {name: value for name, value in about.items() if value}


def _csv(out: IO[str], rows: Rows, data: Dataset, file: Path) -> int:
    head = ["row_id", *data.columns, "label", "split", "group", "subject", "source"]
    writer = csv.DictWriter(out, head, restval="", lineterminator="\n")
    writer.writeheader()
    written = 0
    for values, example in rows:
        writer.writerow({**values, "label": example.label or "", **_about(example)})
        written += 1
    return written


def _doccano(out: IO[str], rows: Rows, data: Dataset, file: Path) -> int:
    """JSON Lines with a list of labels, or as CSV with the label alone."""
    column = next(iter(data.columns))
    name = "filename" if is_media(data.columns[column]) else "text"

    def row(values: dict[str, Any], example: Example) -> dict[str, Any]:
        others = {key: value for key, value in values.items() if key != column}
        labels = [] if example.label is None else [example.label]
        return {name: values[column], "label": labels, **others, **_about(example)}

    if file.suffix.lower() == ".csv":
        return _csv_of(out, rows, row)
    written = 0
    for values, example in rows:
        out.write(json.dumps(row(values, example), ensure_ascii=False) + "\n")
        written += 1
    return written


def _csv_of(
    out: IO[str], rows: Rows, row: Callable[[dict[str, Any], Example], dict[str, Any]]
) -> int:
    head = ["text", "label", "row_id", "split", "group", "subject", "source"]
    writer = csv.DictWriter(out, head, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    written = 0
    for values, example in rows:
        writer.writerow({**row(values, example), "label": example.label or ""})
        written += 1
    return written


def _label_studio(out: IO[str], rows: Rows, data: Dataset, file: Path) -> int:
    column = next(iter(data.columns))
    number = 0
    out.write("[")
    for number, (values, example) in enumerate(rows, 1):
        for name, kind in data.columns.items():
            if is_media(kind):
                values[name] = _LOCAL + quote(values[name])
        task = {
            "id": number,
            "data": {**values, **_about(example)},
            "annotations": [] if example.label is None else [_annotation(example.label, column)],
        }
        out.write(",\n" if number > 1 else "\n")
        out.write(json.dumps(task, ensure_ascii=False))
    out.write("\n]\n")
    return number


def _annotation(label: str, column: str) -> dict[str, Any]:
    result = {
        "from_name": "label",
        "to_name": column,
        "type": "choices",
        "value": {"choices": [label]},
    }
    return {"result": [result], "was_cancelled": False, "ground_truth": False}


def _interface(data: Dataset) -> str:
    """The labelling interface that fits the tasks, to paste into a project's settings."""
    lines = ["<View>"]
    for name, kind in data.columns.items():
        tag = "Image" if is_media(kind) else "Text"
        lines.append(f"  <{tag} name={quoteattr(name)} value={quoteattr('$' + name)}/>")
    first = quoteattr(next(iter(data.columns)))
    lines.append(f'  <Choices name="label" toName={first} choice="single" showInLine="true">')
    lines += [f"    <Choice value={quoteattr(label)}/>" for label in data.schema.labels]
    return "\n".join([*lines, "  </Choices>", "</View>", ""])
