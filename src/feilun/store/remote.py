"""Artifacts that lie elsewhere: any file system that fsspec knows by a URL."""

from __future__ import annotations

from pathlib import Path

import fsspec

from feilun.errors import EnvironmentProblem
from feilun.store.manifest import MANIFEST, Manifest

__all__ = ["Remote"]


class Remote:
    """Artifacts below an fsspec URL. An artifact is there once its manifest is: it is uploaded
    last and removed first."""

    def __init__(self, url: str) -> None:
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise EnvironmentProblem("store.no_file_system", url=url, reason=str(error)) from None
        self._url = url
        self._root = str(root).rstrip("/")

    def __str__(self) -> str:
        return self._url

    def exists(self, ref: str) -> bool:
        """Whether the artifact is there whole."""
        return bool(self._fs.exists(self._manifest(ref)))

    def published(self, ref: str) -> float | None:
        """When it was published (Unix time), None where the file system does not say."""
        try:
            return float(self._fs.modified(self._manifest(ref)).timestamp())
        except (FileNotFoundError, NotImplementedError):
            return None

    def upload(self, ref: str, folder: Path) -> None:
        """Copies ``folder/content`` there, then ``folder/manifest.json``."""
        manifest = Manifest.read(folder / MANIFEST)
        assert manifest is not None
        for entry in manifest.files:
            target = f"{self._object(ref)}/content/{entry.path}"
            self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._fs.put_file(str(folder / "content" / entry.path), target)
        self._fs.put_file(str(folder / MANIFEST), self._manifest(ref))

    def download(self, ref: str, folder: Path) -> None:
        """Copies the artifact from there into ``folder``, unverified."""
        (folder / "content").mkdir()
        self._fs.get_file(self._manifest(ref), str(folder / MANIFEST))
        manifest = Manifest.read(folder / MANIFEST)
        if manifest is None or manifest.ref != ref:
            return  # the caller's verification says so
        for entry in manifest.files:
            target = folder / "content" / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fs.get_file(f"{self._object(ref)}/content/{entry.path}", str(target))
            target.chmod(0o444)

    def remove(self, ref: str) -> None:
        """Removes the artifact if it is there."""
        if self.exists(ref):
            self._fs.rm_file(self._manifest(ref))
        if self._fs.exists(self._object(ref)):
            self._fs.rm(self._object(ref), recursive=True)

    def refs(self) -> set[str]:
        """Every artifact that is there whole."""
        found = self._fs.glob(f"{self._root}/objects/*/*/{MANIFEST}")
        return {f"sha256:{str(path).split('/')[-2]}" for path in found}

    def _object(self, ref: str) -> str:
        digest = ref.removeprefix("sha256:")
        return f"{self._root}/objects/{digest[:2]}/{digest}"

    def _manifest(self, ref: str) -> str:
        return f"{self._object(ref)}/{MANIFEST}"
