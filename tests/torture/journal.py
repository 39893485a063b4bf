"""What one client has seen, one JSON object a line, each line on the disk before it counts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["Journal", "read"]


class Journal:
    """Appends to `file`. A last line that was cut off by a kill is dropped: it never counted."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        whole = file.read_bytes()
        os.ftruncate(self._descriptor, whole.rfind(b"\n") + 1)
        os.lseek(self._descriptor, 0, os.SEEK_END)

    def write(self, entry: dict[str, Any], *, sync: bool = True) -> None:
        """Returns when `entry` would survive the machine losing power; without `sync`, when it
        survives this process."""
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        # A file that is not full takes the whole line at once.
        assert os.write(self._descriptor, line) == len(line)
        if sync:
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._descriptor)


def read(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal."""
    if not file.exists():
        return []
    lines = file.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]
