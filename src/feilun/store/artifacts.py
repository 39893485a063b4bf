"""Artifacts: folders that are named by their content and never change.

::

    artifacts/
      objects/ab/abcd…/manifest.json    every file's path, size and sha256
      objects/ab/abcd…/content/…        the files, read-only
      blobs/ab/abcd…                    each distinct file once; the content links to it
      scratch/<host>-<pid>-<start>-…/   what living processes are writing

The name is the sha256 of the manifest's lines, so it covers content alone. A folder is written
aside, synced, then renamed: whenever the process is killed, an artifact is there whole or not at
all, and what remains in scratch is cleared once its process is no more.

With an fsspec URL as root, this folder is the cache of what lies there.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from feilun.errors import CorruptArtifact, NotFound
from feilun.store.files import full_disk, hash_file, sync, sync_all, write_atomically
from feilun.store.manifest import MANIFEST, Manifest
from feilun.store.remote import Remote
from feilun.store.scratch import Scratch

__all__ = ["Artifacts"]

_ASIDE = "feilun-link"


class Artifacts:
    """The artifacts under `root`, a folder or an fsspec URL (``s3://bucket/path``).

    `cache` is the local folder to keep copies in; needed for a URL only. Safe to use from threads
    and from several processes.
    """

    def __init__(self, root: Path | str, cache: Path | None = None) -> None:
        self._remote = None
        if isinstance(root, str) and "://" in root and not root.startswith("file://"):
            self._remote = Remote(root)
            self.root = (cache or Path(".feilun/cache")).absolute()
        else:
            self.root = Path(str(root).removeprefix("file://")).absolute()
        self._objects = self.root / "objects"
        self._blobs = self.root / "blobs"
        self._scratch = Scratch(self.root / "scratch")
        with full_disk(self.root):
            for folder in (self._objects, self._blobs, self._scratch.folder):
                folder.mkdir(parents=True, exist_ok=True)
        self._verified: dict[str, int] = {}
        # Two locks: a backup keeps gc away for minutes, and must not keep publishers waiting.
        self._gc_lock = FileLock(self.root / "gc.lock")
        self._place_lock = FileLock(self.root / "place.lock")

    def new(self) -> Path:
        """An empty folder to write in, on the file system that `publish` renames on."""
        with full_disk(self.root):
            return self._scratch.new()

    def publish(self, folder: Path, kind: str) -> str:
        """Makes the content of `folder` an artifact and returns its reference ``sha256:…``.

        `folder` is consumed, wherever it lies. Equal content has an equal reference, and
        publishing it again is cheap. `kind` is for the catalog (see `Store.publish`) and no part
        of the name. Symbolic links are replaced by what they point at; empty folders are dropped.
        Raises `EnvironmentProblem` when the disk is full; nothing half-made remains.
        """
        staged = self._scratch.new()
        content = staged / "content"
        with full_disk(self.root):
            try:
                if folder.stat().st_dev == self.root.stat().st_dev:
                    folder.rename(content)
                else:
                    shutil.copytree(folder, content, symlinks=False)
                manifest = self._stage(staged)
                ref = manifest.ref
                self._place(ref, staged)
            except BaseException:
                # What was handed over goes back, so that nobody loses an hour's work.
                if not folder.exists() and content.exists():
                    content.rename(folder)
                shutil.rmtree(staged, ignore_errors=True)
                raise
            shutil.rmtree(folder, ignore_errors=True)
            if self._remote and not self._remote.exists(ref):
                self._remote.upload(ref, self._folder(ref))
        return ref

    def path(self, ref: str, verify: bool = True) -> Path:
        """The local folder of the artifact, fetched first if it is elsewhere.

        `verify` compares every file with the manifest, once in a process. Raises `NotFound` for
        an unknown reference, `CorruptArtifact` when a file is not what it was.
        """
        folder = self._folder(ref)
        if not folder.exists() and self._remote and self._remote.exists(ref):
            self._fetch(ref)
        if not folder.exists():
            raise NotFound("store.no_artifact", ref=ref, root=str(self._remote or self.root))
        inode = folder.stat().st_ino
        if verify and self._verified.get(ref) != inode:
            self._verify(ref, folder)
            self._verified[ref] = inode
        return folder / "content"

    def manifest(self, ref: str) -> Manifest:
        """The files of the artifact. Raises as `path` does."""
        folder = self.path(ref, verify=False).parent
        manifest = Manifest.read(folder / MANIFEST)
        if manifest is None or manifest.ref != ref:
            raise CorruptArtifact("store.corrupt_manifest", ref=ref, path=str(folder / MANIFEST))
        return manifest

    def verify(self, ref: str) -> None:
        """Reads every file of the artifact again. Raises as `path` does."""
        self._verify(ref, self.path(ref, verify=False).parent)

    def size(self, ref: str) -> int:
        """The sum of the artifact's files in bytes."""
        return self.manifest(ref).size

    def exists(self, ref: str) -> bool:
        """Whether the artifact is here or at the remote root."""
        return self._folder(ref).exists() or bool(self._remote and self._remote.exists(ref))

    def refs(self) -> set[str]:
        """Every artifact there is."""
        here = {f"sha256:{path.name}" for path in self._objects.glob("??/*")}
        return here | (self._remote.refs() if self._remote else set())

    def gc(
        self, keep: set[str], *, published_before: float | None = None, dry_run: bool = False
    ) -> tuple[int, int]:
        """Removes artifacts that are not in `keep`, blobs without an artifact, and the scratch of
        processes that are no more. Returns how many artifacts, and about how many bytes.

        `published_before` (Unix time) spares what was published, or published again, since.
        """
        count = size = 0
        with self.locked():
            for ref in sorted(self.refs() - keep):
                with self._place_lock:
                    if self._is_young(ref, published_before):
                        continue
                    count += 1
                    # A file with a blob is freed with its blob below.
                    size += self._bytes(ref, links=2 if dry_run else 1)
                    if not dry_run:
                        self._remove(ref)
            size += self._scratch.clear(dry_run=dry_run)
            size += self._clear_blobs(dry_run=dry_run)
        return count, size

    def locked(self) -> FileLock:
        """While this is held (``with``), nothing is removed. Its thread may take it again."""
        return self._gc_lock

    def _folder(self, ref: str) -> Path:
        kind, _, digest = ref.partition(":")
        if kind != "sha256" or len(digest) != 64 or not digest.isalnum():
            raise NotFound("store.no_artifact", ref=ref, root=str(self.root))
        return self._objects / digest[:2] / digest

    def _stage(self, staged: Path) -> Manifest:
        """Makes the files of ``staged/content`` read-only links to blobs, and writes the manifest;
        all of it on the disk when this returns."""
        content = staged / "content"
        for link in [path for path in content.rglob("*") if path.is_symlink()]:
            _follow(link)
        files = sorted(path for path in content.rglob("*") if path.is_file())
        manifest = Manifest.of(content, files)
        for path, entry in zip(files, manifest.files, strict=True):
            self._share(path, entry.sha256)
        folders = _drop_empty(content)
        write_atomically(staged / MANIFEST, manifest.dump())
        sync_all(files, [*folders, content, staged])
        return manifest

    def _share(self, path: Path, digest: str) -> None:
        """Makes `path`, read-only, and the blob of its digest the same file on the disk."""
        blob = self._blobs / digest[:2] / digest
        blob.parent.mkdir(exist_ok=True)
        aside = path.with_name(f".{path.name}.{_ASIDE}")
        if path.stat().st_nlink > 1 and not (blob.exists() and blob.samefile(path)):
            # Somebody else holds this file too, and could change it under us.
            shutil.copyfile(path, aside)
            aside.replace(path)
        path.chmod(0o444)
        with suppress(FileNotFoundError):  # gc may take the blob at any moment
            if blob.exists() and hash_file(blob) != digest:
                blob.unlink()
        try:
            os.link(path, blob)
        except FileExistsError:
            with suppress(OSError):
                os.link(blob, aside)
                aside.replace(path)
                # rename does nothing between two names of one file
                aside.unlink()
        except OSError:
            return  # a file system without hard links: the file stands alone

    def _place(self, ref: str, staged: Path) -> None:
        target = self._folder(ref)
        with self._place_lock:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                try:
                    self._verify(ref, target)
                except CorruptArtifact:
                    target.rename(self._scratch.new() / "corrupt")
                else:
                    os.utime(target)  # young again: gc spares it until the catalog knows
                    shutil.rmtree(staged)
                    return
            os.utime(staged)
            staged.rename(target)
        sync(target.parent)

    def _fetch(self, ref: str) -> None:
        assert self._remote is not None
        staged = self._scratch.new()
        with full_disk(self.root):
            try:
                self._remote.download(ref, staged)
                self._verify(ref, staged)
                self._place(ref, staged)
            finally:
                shutil.rmtree(staged, ignore_errors=True)

    def _verify(self, ref: str, folder: Path) -> None:
        manifest = Manifest.read(folder / MANIFEST)
        if manifest is None or manifest.ref != ref:
            raise CorruptArtifact("store.corrupt_manifest", ref=ref, path=str(folder / MANIFEST))
        wrong = manifest.wrong_file(folder / "content")
        if wrong is not None:
            raise CorruptArtifact("store.corrupt_file", ref=ref, path=str(wrong))

    def _is_young(self, ref: str, before: float | None) -> bool:
        if before is None:
            return False
        times = [self._remote.published(ref) if self._remote else None]
        with suppress(FileNotFoundError):
            times.append(self._folder(ref).stat().st_mtime)
        return any(time is not None and time >= before for time in times)

    def _bytes(self, ref: str, links: int) -> int:
        """The bytes of those files that have no more than so many names on the disk."""
        content = self._folder(ref) / "content"
        states = [path.lstat() for path in content.rglob("*") if path.is_file()]
        return sum(state.st_size for state in states if state.st_nlink <= links)

    def _remove(self, ref: str) -> None:
        folder = self._folder(ref)
        self._verified.pop(ref, None)
        if self._remote:
            self._remote.remove(ref)
        if folder.exists():
            # Away at once, so that a kill leaves scratch instead of half an artifact.
            aside = self._scratch.new() / "removed"
            folder.rename(aside)
            shutil.rmtree(aside.parent)

    def _clear_blobs(self, *, dry_run: bool) -> int:
        size = 0
        for path in self._blobs.glob("??/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                if status.st_nlink == 1:
                    size += status.st_size
                    if not dry_run:
                        path.unlink()
        return size


def _follow(link: Path) -> None:
    target = link.resolve()
    link.unlink()
    if target.is_dir():
        shutil.copytree(target, link)
    else:
        shutil.copy2(target, link)


def _drop_empty(content: Path) -> list[Path]:
    """Removes empty folders; the others, from the inside out."""
    left = []
    for folder in sorted((p for p in content.rglob("*") if p.is_dir()), reverse=True):
        try:
            folder.rmdir()
        except OSError:
            left.append(folder)
    return left
