"""Files that are there whole or not at all, and disks that are full."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from feilun.errors import EnvironmentProblem

__all__ = [
    "full_disk",
    "hash_file",
    "link_or_copy",
    "private_secret",
    "sync",
    "sync_all",
    "write_atomically",
]

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_ONE_BY_ONE = 64


@contextmanager
def full_disk(path: Path | str) -> Iterator[None]:
    """Turns a disk without room (or past a size limit) into `EnvironmentProblem`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            reason = os.strerror(error.errno or 0)
            raise EnvironmentProblem("store.disk_full", path=str(path), reason=reason) from error
        raise


def hash_file(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Gives a file that never changes a second name, or copies it where that cannot be."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def private_secret(path: Path) -> str:
    """The secret of 256 bits in the file `path`, made when first asked for; its owner alone may
    read it."""
    if not path.exists():
        aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        with full_disk(path):
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32))
                file.flush()
                os.fsync(file.fileno())
        # Of several processes that make one, the first wins and the others read it.
        with suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink()
    return path.read_text().strip()


def sync(path: Path) -> None:
    """Waits until the file or folder `path` is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(files: list[Path], folders: list[Path]) -> None:
    """Waits until all of these are on the disk; `folders` from the inside out."""
    # One sync of everything beats thousands one by one. Only Linux promises to wait for it.
    if len(files) > _ONE_BY_ONE and sys.platform == "linux":
        os.sync()
        return
    for path in (*files, *folders):
        sync(path)


def write_atomically(
    path: Path, content: bytes, *, mode: int = 0o644, durable: bool = True
) -> None:
    """Writes `content` aside, then renames it to `path`; a kill leaves the former file or the new.

    `durable` also waits for the disk.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    if durable:
        sync(path.parent)
