"""A workspace: a folder with projects, and one store for all of them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from feilun.project.project import Model, Project
from feilun.project.template import project_file
from feilun.project.upstream import Upstream, pass_on
from feilun.project.workspace_verbs import WorkspaceVerbs

__all__ = ["Workspace"]


class Workspace(WorkspaceVerbs):
    """A folder that holds projects (``NAME/feilun.toml``) and their state (``.feilun/``).

    `folder` is by default ``FEILUN_WORKSPACE``, else the current folder; `database` a PostgreSQL
    URL instead of SQLite files. Usable as a context manager; `close` lets go of the databases.
    """

    # Projects

    def init(
        self,
        name: str,
        task: str = "text-classification",
        base: str | None = None,
        *,
        exist_ok: bool = False,
        upstream: Upstream | None = None,
    ) -> Project:
        """A new project: its folder, its settings file, its row in the catalog. A settings file
        that is there already, such as one from a repository, is taken as it is. With `exist_ok` a
        project of this name and task that exists is returned unchanged, so that a script can be
        run again. With `upstream` another server answers at once, until a version of one's own
        goes live.

        Raises `UsageError` for an unknown task, `Conflict` when the project exists (with
        `exist_ok`: when it has another task) and for a file of another project, `InvalidSettings`
        for a name that cannot be one.
        """
        name = unicodedata.normalize("NFC", name)
        text = project_file(name, task, base)  # a slip leaves no store in the folder
        if upstream is not None:
            upstream.check(task)
        scope = self.scope.init(name, task, text, exist_ok)
        if upstream is not None:
            pass_on(scope, upstream)
        return Project(self, scope.name)

    def projects(self) -> list[Project]:
        """The projects of this workspace by name."""
        return [Project(self, project.name) for project in self.scope.projects()]

    def project(self, name: str | None = None) -> Project:
        """The project `name`; without a name, the only one there is.

        Raises `NotFound` for an unknown name or an empty workspace, `UsageError` when there are
        several to choose from.
        """
        return Project(self, self.scope.project(name).name)

    def import_version(self, folder: Path | str, *, project: str | None = None) -> Model:
        """An exported folder as a version of `project` (default: the one it came from), live at
        once where nothing is live yet. Raises `InvalidData` for another folder and
        `CorruptArtifact` for a changed one."""
        from feilun.project.imports import import_version

        record = import_version(self.scope, Path(folder).expanduser().resolve(), project)
        return self.project(record.project).model(record.id)
