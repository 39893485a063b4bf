"""Folders that processes write in, named after them, so that gc knows whose are abandoned."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import time
from pathlib import Path

import psutil

__all__ = ["Scratch"]

_SIGN = "~"
_STRANGER_DAYS = 7


class Scratch:
    """A folder of folders ``<host>~<pid>~<start>~<random>``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self) -> Path:
        """An empty folder of this process."""
        pid = os.getpid()
        started = int(psutil.Process(pid).create_time())
        name = _SIGN.join((platform.node(), str(pid), str(started), secrets.token_hex(8)))
        path = self.folder / name
        path.mkdir(parents=True)
        return path

    def clear(self, *, dry_run: bool = False) -> int:
        """Removes the folders of processes that are no more; returns the bytes in them."""
        size = 0
        for path in self.folder.iterdir():
            if not _owned(path):
                size += sum(f.lstat().st_size for f in path.rglob("*") if f.is_file())
                if not dry_run:
                    shutil.rmtree(path, ignore_errors=True)
        return size


def _owned(path: Path) -> bool:
    try:
        host, pid, started, _ = path.name.split(_SIGN)
        if host != platform.node():
            # Another machine's processes cannot be asked; days of silence must do.
            return time.time() - path.stat().st_mtime < _STRANGER_DAYS * 86_400
        # A process id is used again one day; the start tells the two apart.
        return bool(abs(psutil.Process(int(pid)).create_time() - int(started)) < 2)
    except (ValueError, FileNotFoundError, psutil.NoSuchProcess):
        return False
    except psutil.AccessDenied:
        return True
