"""Inputs that are bytes, kept once each by their sha256: pictures that callers sent."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from feilun.store.files import full_disk, write_atomically

__all__ = ["Blobs"]


class Blobs:
    """A folder of bytes by hash: ``ab/abcd…``.

    Unlike artifacts these may be deleted one by one; nothing here is trusted to be permanent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes) -> str:
        """Keeps `content` and returns its sha256 in hexadecimal. Storing it again is cheap.

        Raises `EnvironmentProblem` when the disk is full, leaving nothing half-made.
        """
        name = hashlib.sha256(content).hexdigest()
        path = self._path(name)
        try:
            # Young again: a purge that is about to remove it waits for the new owner's row.
            os.utime(path)
        except FileNotFoundError:
            with full_disk(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content, mode=0o600, durable=False)
        return name

    def get(self, name: str) -> bytes | None:
        """The bytes of this hash, None when they are gone or not what they were."""
        try:
            content = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        return content if hashlib.sha256(content).hexdigest() == name else None

    def remove(self, name: str, *, older_than: float = 0.0, dry_run: bool = False) -> int:
        """Deletes the bytes if they were last put `older_than` seconds ago or more.

        Returns the bytes freed; with `dry_run` those that would be.
        """
        path = self._path(name)
        try:
            status = path.stat()
            if time.time() - status.st_mtime < older_than:
                return 0
            if not dry_run:
                path.unlink()
        except FileNotFoundError:
            return 0
        return status.st_size

    def names(self) -> Iterator[str]:
        """Every hash that is kept."""
        for folder in sorted(self.folder.glob("??")):
            for path in folder.iterdir():
                if len(path.name) == 64:
                    yield path.name

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name
