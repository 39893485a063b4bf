"""brat: texts with notes about parts of them (``.ann``). Parts of texts are no classes."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from feilun.data.litter import walk

__all__ = ["is_notes", "notes_in"]

_NOTE = re.compile(r"(?:T\d+\t\S+ \d+ \d+|[REAMN*#]\d*\t\S+ )")
_LOOKED_AT = 1000


def is_notes(text: str) -> bool:
    """Whether a text begins with a note of brat."""
    return _NOTE.match(text) is not None


def notes_in(folder: Path) -> Path | None:
    """The first file of notes beside a text below `folder`."""
    for path in islice(walk(folder), _LOOKED_AT):
        if path.suffix == ".ann" and path.with_suffix(".txt").is_file():
            try:
                with path.open(encoding="utf-8", errors="replace") as stream:
                    if is_notes(stream.read(200)):
                        return path
            except OSError:
                continue
    return None
