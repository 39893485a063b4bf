"""What every verb of a project begins with: its settings, its task, its latest data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.config import ProjectConfig
from feilun.errors import InvalidSettings, NotFound
from feilun.messages import t
from feilun.money import MICRO
from feilun.pipeline.context import Context
from feilun.project.resolve import resolve
from feilun.store.dataset import Dataset
from feilun.store.records import DataVersion
from feilun.tasks.base import TaskBase
from feilun.tasks.base import get as get_task
from feilun.types import Progress

if TYPE_CHECKING:
    from feilun.project.workspace import Workspace

__all__ = ["ProjectBase", "Report"]

Report = Callable[[Progress], None]
"""Hears of every sign of life of a long verb."""


def _silent(progress: Progress) -> None:
    pass


class ProjectBase:
    """A project's name, settings and task, and what every verb begins with."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, workspace={str(self.workspace.folder)!r})"

    def _repr_html_(self) -> str:
        return self.workspace.status(self.name)._repr_html_()

    @property
    def file(self) -> Path:
        """The settings file."""
        return self.workspace.folder / self.name / "feilun.toml"

    def config(self, overrides: Mapping[str, Any] | None = None) -> ProjectConfig:
        """The checked settings. Raises `InvalidSettings` with every fault at once."""
        config = resolve(self.file, overrides)[0]
        self._agrees(config)
        return config

    @property
    def task(self) -> TaskBase:
        """What the project answers."""
        store = self.workspace.store
        task = get_task(store.catalog.project(self.name).task)
        data = store.catalog.latest_data(self.name) if task.open_columns else None
        if data is None:
            return task
        return task.bound(Dataset(store.artifacts.path(data.artifact)).schema.settings)

    def is_free(self) -> bool:
        """Whether its answers cost customers nothing: no list price, and no plans that price them.
        A replica, which has no settings file, does not know and says no."""
        if not self.file.exists() or self.workspace.store.catalog.plan_versions():
            return False
        return round(self.config().serving.price_per_1000 * MICRO) == 0

    # Inside

    def _data(self) -> DataVersion:
        data = self.workspace.store.catalog.latest_data(self.name)
        if data is None:
            raise NotFound("project.no_data", project=self.name)
        return data

    def _context(self, config: ProjectConfig, report: Report | None = None) -> Context:
        _, methods = resolve(self.file)
        return Context(
            store=self.workspace.store,
            settings=self.workspace.settings,
            project=self.name,
            run_id="",
            config=config,
            method_settings=methods,
            report=report or _silent,
        )

    def _agrees(self, config: ProjectConfig) -> None:
        """The file and the catalog must speak of the same project and task."""
        row = self.workspace.store.catalog.project(self.name)
        faults = []
        if config.project.name != row.name:
            faults.append(t("project.file_name", given=config.project.name, kept=row.name))
        if config.project.task != row.task:
            faults.append(t("project.file_task", given=config.project.task, kept=row.task))
        if faults:
            raise InvalidSettings("config.project", file=self.file, faults=faults)
