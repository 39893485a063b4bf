"""What every step works with: the store, the project, its resolved configuration, and a way to
show progress."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.config import ProjectConfig, Settings
from feilun.errors import NotFound
from feilun.modalities.language import gguf
from feilun.store import Store
from feilun.store.dataset import Dataset
from feilun.store.records import DataVersion, ModelVersion
from feilun.tasks.base import TaskBase
from feilun.tasks.base import get as get_task
from feilun.types import Progress

__all__ = ["VERSION", "Context"]

_ENCODER = "encoder"
VERSION = re.compile(r"[^/\\]+@(\d+|live|latest)")
"""The name of a version, such as ``corpus@2``."""


@dataclass(frozen=True, slots=True)
class Context:
    """A step's surroundings. `config` is the resolved copy, which no later edit of the file
    changes; `method_settings` the checked tables of the methods, by name."""

    store: Store
    settings: Settings
    project: str
    run_id: str
    config: ProjectConfig
    method_settings: Mapping[str, Mapping[str, Any]]
    report: Callable[[Progress], None]

    @property
    def task(self) -> TaskBase:
        """The project's task, where columns are open bound to those of its data."""
        task = get_task(self.config.project.task)
        data = self.store.catalog.latest_data(self.project) if task.open_columns else None
        if data is None:
            return task if task.open_columns else task.bound(self.config.task)
        return task.bound(self.dataset(data).schema.settings)

    def task_settings(self) -> dict[str, Any]:
        """The task's settings with their defaults; what the data has settled (its columns)
        counts."""
        task = self.task
        return {**task.Settings(**self.config.task).model_dump(), **task.inputs()}

    def dataset(self, version: DataVersion) -> Dataset:
        """The rows of a data version, its hashes checked."""
        return Dataset(self.store.artifacts.path(version.artifact))

    @property
    def anew(self) -> bool:
        """Whether the run was begun anew: then nothing is taken from earlier ones."""
        return bool(re.search(r"-[0-9a-f]{12}\.\d+$", self.run_id))

    def folder(self, version: ModelVersion, variant: str | None = None) -> Path:
        """The folder that is served for `version`; the float weights with ``variant=""``. Raises
        `NotFound` when its artifacts are not there: it failed, or gc gave them up."""
        ref = version.weights if variant == "" else version.artifact(variant)
        if ref is None or version.pruned is not None:
            raise NotFound("store.version_without_weights", version=version.id, state=version.state)
        return self.store.artifacts.path(ref)

    def weights(self, name: str) -> Path | None:
        """The network of a version of any project of this workspace, such as ``corpus@2``: its
        float weights, or the encoder that it keeps beside what answers; None for what is no
        version's name. Raises `NotFound` where there is no such version."""
        if not VERSION.fullmatch(name):
            return None
        folder = self.folder(self.store.catalog.model_version(name), "")
        encoder = folder / _ENCODER
        return encoder if encoder.is_dir() and not (folder / "config.json").is_file() else folder

    def packed(self, name: str) -> Path | None:
        """As `weights`, but the variant of the version that is one GGUF file, where it has one: the
        chosen one before others."""
        if not VERSION.fullmatch(name):
            return None
        version = self.store.catalog.model_version(name)
        for variant in dict.fromkeys((version.variant, *version.variants)):
            if variant is not None and gguf.found(folder := self.folder(version, variant)):
                return folder
        return self.folder(version, "")

    def data_of(self, version: ModelVersion) -> DataVersion:
        """The data version that `version` was trained on. Raises `NotFound` for one that was
        imported: its rows stayed where it was trained."""
        if version.data_version is None:
            raise NotFound("pipeline.no_rows_of_version", version=version.id)
        return self.store.catalog.data_version(version.data_version)

    def scratch(self, name: str) -> Path:
        """A folder of this run that outlives kills and is emptied on success."""
        folder = self.store.run_folder(self.run_id) / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
