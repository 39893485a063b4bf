"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from feilun.data.sources._records import object_row, peek_columns
from feilun.data.sources._text import DAMAGE, TextFile, damaged, open_found
from feilun.data.sources.base import BadRow, Options, Table
from feilun.types import Row

__all__ = ["open_tables"]


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The file's one table. Rows are numbered as lines are; blank lines hold no row."""
    path = Path(location)
    stream, told = open_found(path, options.encoding)
    try:
        columns, rows = peek_columns(_rows(stream))
    except BaseException:
        stream.close()
        raise
    return [
        Table(
            path.name,
            columns,
            rows,
            folder=path.parent,
            details={"format": "JSONL", **told},
            total=stream.size,
            unit="bytes",
            position=stream.position,
            close=stream.close,
        )
    ]


def _rows(stream: TextFile) -> Iterator[Row | BadRow]:
    undamaged = damaged()
    for number, line in enumerate(stream.lines(), 1):
        if line.isspace():
            continue
        if undamaged != damaged() and DAMAGE in line:
            yield BadRow(number, "data.bad_bytes", {"encoding": stream.encoding}, {"": line})
            continue
        try:
            yield object_row(number, _decode(line))
        except (ValueError, RecursionError) as error:
            yield BadRow(number, "data.bad_json", {"reason": str(error)}, {"": line})


def _decode(line: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:
        return json.loads(line)  # takes the NaN that Python writes
