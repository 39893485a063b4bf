"""A data version on disk: typed rows in Parquet, media beside them by hash, and what they mean.

::

    rows.parquet            row_id, split, label, group, subject, source, and input:<column> each
    media/<2>/<sha256>      the bytes of images; their rows hold the hash
    dataset.json            schema, counts, column kinds, info

Equal rows in equal order give equal bytes, because the hash of the folder is the identity of the
data version: nothing here holds a time or a path of this machine. Writing and reading stream.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feilun.errors import EnvironmentProblem

__all__ = [
    "FILE",
    "FIXED",
    "FORMAT",
    "GROUP_ROWS",
    "INPUT",
    "ROWS",
    "is_media",
    "media_path",
    "row_schema",
    "writing",
]

FILE = "dataset.json"
ROWS = "rows.parquet"
INPUT = "input:"
"""Prefix of input columns in the Parquet file: a user's column may be called ``label`` too."""
FORMAT = 1
FIXED = ("row_id", "split", "label", "group", "subject", "source")
GROUP_ROWS = 8192


def is_media(kind: str) -> bool:
    """Whether a column of this kind keeps its values as files under ``media/``."""
    return kind not in ("text", "category", "number", "date")


def row_schema(columns: Mapping[str, str]) -> Any:
    """The Arrow schema of ``rows.parquet`` for input `columns` (name → kind)."""
    import pyarrow as pa

    fields = [pa.field(name, pa.string(), nullable=name == "label") for name in FIXED]
    for name, kind in columns.items():
        fields.append(pa.field(INPUT + name, pa.float64() if kind == "number" else pa.string()))
    return pa.schema(fields)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns what the operating system refuses (a full disk first of all) into our error."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        code = "dataset.disk_full" if full else "dataset.cannot_write"
        raise EnvironmentProblem(code, folder=folder, reason=error.strerror or str(error)) from None


def media_path(folder: Path, name: str) -> Path:
    """Where the media file of this hash lies in `folder`."""
    return folder / "media" / name[:2] / name
