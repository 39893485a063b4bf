"""What every verb of a project begins with: the workspace, a name, the settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.config import ProjectConfig
from feilun.project.scope import Scope
from feilun.project.workspace_verbs import WorkspaceVerbs
from feilun.tasks.base import TaskBase

if TYPE_CHECKING:
    from feilun.project.savings import Savings

__all__ = ["ProjectBase"]


class ProjectBase:
    """A project's name, settings and task."""

    def __init__(self, workspace: WorkspaceVerbs, name: str) -> None:
        self.workspace = workspace
        self.name = name
        """The name that versions (``reviews@3``), the ledger and callers know; it never changes."""

    @property
    def called(self) -> str:
        """What it is called now: what it was renamed to last, else `name`."""
        return self.scope.called

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.called!r}, workspace={str(self.workspace.folder)!r})"

    def _repr_html_(self) -> str:
        return self.workspace.status(self.name)._repr_html_()

    @property
    def scope(self) -> Scope:
        """What the verbs work on: the open store, the settings, the folder, the name."""
        return self.workspace.scope.at(self.name)

    @property
    def file(self) -> Path:
        """The settings file."""
        return self.scope.file

    def config(self, overrides: Mapping[str, Any] | None = None) -> ProjectConfig:
        """The checked settings. Raises `InvalidSettings` with every fault at once."""
        return self.scope.config(overrides)

    @property
    def task(self) -> TaskBase:
        """What the project answers."""
        return self.scope.task

    def is_free(self) -> bool:
        """Whether its answers cost customers nothing; a replica does not know and says no."""
        return self.scope.is_free()

    def upstream(self, days: int = 30) -> Savings:
        """What passing calls on to another server costs, how many are answered here, and what that
        saves, from the calls of the last `days`. Raises `NotFound` where none are passed on."""
        from feilun.project.savings import view

        return view(self.scope, days)
