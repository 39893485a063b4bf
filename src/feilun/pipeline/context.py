"""What every step works with: the store, the project, its resolved configuration, and a way to
show progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.config import ProjectConfig, Settings
from feilun.store import Store
from feilun.store.dataset import Dataset
from feilun.store.records import DataVersion, ModelVersion
from feilun.tasks.base import TaskBase
from feilun.tasks.base import get as get_task
from feilun.types import Progress

__all__ = ["Context"]


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
        """The project's task."""
        return get_task(self.config.project.task)

    def task_settings(self) -> dict[str, Any]:
        """The task's settings with their defaults."""
        return self.task.Settings(**self.config.task).model_dump()

    def dataset(self, version: DataVersion) -> Dataset:
        """The rows of a data version, its hashes checked."""
        return Dataset(self.store.artifacts.path(version.artifact))

    def folder(self, version: ModelVersion, variant: str | None = None) -> Path:
        """The folder that is served for `version`; the float weights with ``variant=""``."""
        ref = version.weights if variant == "" else version.artifact(variant)
        assert ref is not None
        return self.store.artifacts.path(ref)

    def scratch(self, name: str) -> Path:
        """A folder of this run that outlives kills and is emptied on success."""
        folder = self.store.run_folder(self.run_id) / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
