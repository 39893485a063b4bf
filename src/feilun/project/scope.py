"""What a verb works on: the open store, the settings and the folder of a workspace; a project."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.config import ProjectConfig, Settings
from feilun.errors import Conflict, InvalidSettings, NotFound, UsageError
from feilun.messages import t
from feilun.money import MICRO
from feilun.pipeline.context import Context
from feilun.project.resolve import resolve
from feilun.store import Store
from feilun.store.archived import archived
from feilun.store.dataset import Dataset
from feilun.store.files import write_atomically
from feilun.store.records import DataVersion, ModelVersion
from feilun.tasks.base import TaskBase
from feilun.tasks.base import get as get_task
from feilun.types import Progress

__all__ = ["Report", "Scope", "WorkspaceScope"]

FILE = "feilun.toml"

Report = Callable[[Progress], None]
"""Hears of every sign of life of a long verb."""


def _silent(progress: Progress) -> None:
    pass


@dataclass(frozen=True, slots=True)
class WorkspaceScope:
    """An open workspace: `folder` is where its projects lie."""

    store: Store
    settings: Settings
    folder: Path

    def at(self, name: str) -> Scope:
        """The project that is called `name` or was, be it there or not."""
        known = self.store.catalog.known(unicodedata.normalize("NFC", name))
        return Scope(self.store, self.settings, self.folder, known)

    def projects(self) -> list[Scope]:
        """The projects by name, without archived ones."""
        away = archived(self.store.catalog)
        names = [project.name for project in self.store.catalog.projects()]
        return [self.at(name) for name in names if name not in away]

    def project(self, name: str | None = None) -> Scope:
        """The project `name`; without a name, the only one there is.

        Raises `NotFound` for an unknown name or an empty workspace, `UsageError` when there are
        several to choose from, `Conflict` for an archived one.
        """
        if name is not None:
            wanted = unicodedata.normalize("NFC", name)
            known = self.store.catalog.project(wanted).name
            if known in archived(self.store.catalog):
                raise Conflict("project.archived", project=wanted)
            return self.at(known)
        found = self.projects()
        if not found:
            raise NotFound("project.none", folder=self.folder)
        if len(found) > 1:
            raise UsageError("project.which", options=[project.called for project in found])
        return found[0]

    def init(self, name: str, task: str, text: str, exist_ok: bool = False) -> Scope:
        """A new project, whose settings file says `text`; `Workspace.init` says how."""
        file = self.folder / name / FILE
        known = {project.called: project.task for project in self.store.catalog.projects()}
        if exist_ok and known.get(name) == task:
            return self.at(name)
        self.store.catalog.check_free(name)
        if file.exists():
            section = resolve(file)[0].project
            if (section.name, section.task) != (name, task):
                raise Conflict(
                    "project.other_file", file=file, name=section.name, task=section.task
                )
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, text.encode())
        # Last, so that what is in the catalog has its file, whenever this is killed.
        return self.at(self.store.catalog.add_project(name, task).name)


@dataclass(frozen=True, slots=True)
class Scope:
    """One project of an open workspace; `folder` is the workspace's, `name` its identity, by which
    the store knows it."""

    store: Store
    settings: Settings
    folder: Path
    name: str

    @property
    def called(self) -> str:
        """What people call it: what it was renamed to last, else its name."""
        try:
            return self.store.catalog.project(self.name).called
        except NotFound:
            return self.name

    @property
    def file(self) -> Path:
        """The settings file."""
        return self.folder / self.called / FILE

    @property
    def task(self) -> TaskBase:
        """What the project answers."""
        task = get_task(self.store.catalog.project(self.name).task)
        data = self.store.catalog.latest_data(self.name) if task.open_columns else None
        if data is None:
            return task
        return task.bound(Dataset(self.store.artifacts.path(data.artifact)).schema.settings)

    def is_free(self) -> bool:
        """Whether its answers cost customers nothing: no list price, and no plans that price them.
        A replica, which has no settings file, does not know and says no."""
        if not self.file.exists() or self.store.catalog.plan_versions():
            return False
        return round(self.config().serving.price_per_1000 * MICRO) == 0

    def resolved(
        self, overrides: Mapping[str, Any] | None = None
    ) -> tuple[ProjectConfig, dict[str, dict[str, Any]]]:
        """The checked settings, and those of the methods. Raises `InvalidSettings` with every
        fault at once, and where the file and the catalog do not speak of the same project."""
        config, methods = resolve(self.file, overrides)
        row = self.store.catalog.project(self.name)
        faults = []
        if config.project.name != row.called:
            faults.append(t("project.file_name", given=config.project.name, kept=row.called))
        if config.project.task != row.task:
            faults.append(t("project.file_task", given=config.project.task, kept=row.task))
        if faults:
            raise InvalidSettings("config.project", file=self.file, faults=faults)
        return config, methods

    def config(self, overrides: Mapping[str, Any] | None = None) -> ProjectConfig:
        """The checked settings; see `resolved`."""
        return self.resolved(overrides)[0]

    def context(self, report: Report | None = None) -> Context:
        """What the steps of the pipeline work with, outside of a run."""
        config, methods = self.resolved()
        return Context(
            store=self.store,
            settings=self.settings,
            project=self.name,
            run_id="",
            config=config,
            method_settings=methods,
            report=report or _silent,
        )

    def data(self) -> DataVersion:
        """The latest data version. Raises `NotFound` before the first."""
        data = self.store.catalog.latest_data(self.name)
        if data is None:
            raise NotFound("project.no_data", project=self.name)
        return data

    def version(self, name: str | None = None) -> ModelVersion:
        """The version of this name; `Project.model` says how it may be called."""
        if name is None and not self.store.catalog.model_versions(self.name):
            raise NotFound("project.nothing_trained", project=self.name)
        wanted = name or self.name
        if "@" not in wanted and self.store.catalog.known(wanted) != self.name:
            wanted = f"{self.name}@{wanted}"
        version = self.store.catalog.model_version(wanted)
        if version.project != self.name:
            raise UsageError("project.other_project", model=version.id, project=self.name)
        return version

    def version_beside(self, version: str, wanted: str | None = None) -> ModelVersion:
        """The version that `version` is compared with: the `wanted` one, else the live one, else
        the newest other one. Raises `UsageError` where there is none."""
        if wanted is not None:
            return self.version(wanted)
        live = self.live()
        if live is not None and live.id != version:
            return live
        others = self.store.catalog.model_versions(self.name)
        usable = [one for one in others if one.id != version and one.artifact() and not one.pruned]
        if not usable:
            raise UsageError("project.judge_one_version", version=version)
        return usable[-1]

    def live(self) -> ModelVersion | None:
        """The version that answers now, None before the first."""
        catalog = self.store.catalog
        deployment = catalog.live(catalog.project(self.name).endpoint)
        return catalog.model_version(deployment.version) if deployment else None
