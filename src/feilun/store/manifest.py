"""The list of an artifact's files, whose hash is the artifact's name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from feilun.store.files import hash_file

__all__ = ["MANIFEST", "Entry", "Manifest"]

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its path below the folder with ``/``, its bytes, its sha256 in hexadecimal."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Files in the order of their paths."""

    files: tuple[Entry, ...]

    @classmethod
    def of(cls, folder: Path, files: Iterable[Path]) -> Manifest:
        """Reads `files`, which lie below `folder`, in the order they come."""
        return cls(
            tuple(
                Entry(path.relative_to(folder).as_posix(), path.stat().st_size, hash_file(path))
                for path in files
            )
        )

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """The manifest in the file `path`; None where it is missing or not one."""
        try:
            return cls(tuple(Entry(**entry) for entry in json.loads(path.read_bytes())["files"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def dump(self) -> bytes:
        """The file that `read` reads."""
        files = [{"path": e.path, "size": e.size, "sha256": e.sha256} for e in self.files]
        return json.dumps({"files": files}, indent=1).encode() + b"\n"

    @property
    def ref(self) -> str:
        """``sha256:`` of (path, size, sha256) of the files, sorted by path."""
        lines = sorted([entry.path, entry.size, entry.sha256] for entry in self.files)
        return f"sha256:{hashlib.sha256(json.dumps(lines).encode()).hexdigest()}"

    @property
    def size(self) -> int:
        """The sum of the files in bytes."""
        return sum(entry.size for entry in self.files)

    def wrong_file(self, folder: Path) -> Path | None:
        """The first file below `folder` that is missing, is not what it was, or was added."""
        wanted = {folder / entry.path: entry for entry in self.files}
        for path in folder.rglob("*"):
            if path.is_symlink() or (path.is_file() and path not in wanted):
                return path
        for path, entry in wanted.items():
            if not path.is_file() or path.stat().st_size != entry.size:
                return path
            if hash_file(path) != entry.sha256:
                return path
        return None
