"""The catalog's projects: made, renamed, deleted.

A project's `name` is its identity: versions (``reviews@3``), the ledger and invoices carry it, so
it never changes. Renaming adds a name; every name that a project has had goes on finding it, and
belongs to no other. Deleting frees its names. Where something was billed the row stays, and a new
project of that name gets an identity of its own (``reviews-2``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from feilun.errors import Conflict, NotFound
from feilun.store import tables_catalog as t
from feilun.store.catalog_audit import note
from feilun.store.catalog_base import CatalogPart, as_dict, put_setting, touch
from feilun.store.columns import now
from feilun.store.records import Project

__all__ = ["Projects", "find_project"]

_KINDS = (
    "archived",
    "corpus",
    "drift",
    "preference",
    "schedule",
    "since",
    "watched",
    "watched-file",
    "watch-look",
)
"""Settings are kept under ``kind:project``, ``kind:project:…`` and ``kind:project@version``."""


class Projects(CatalogPart):
    """Projects by name."""

    def add_project(self, name: str, task: str, endpoint: str | None = None) -> Project:
        """A new project; `endpoint` is by default its name. Raises `Conflict` where a project has
        the name or had it."""
        with self._db.write() as connection:
            touch(connection)
            _free(connection, name)
            taken = set(connection.scalars(select(t.projects.c.name)))
            id_ = next(one for one in _numbered(name) if one not in taken)
            row: dict[str, Any] = {
                "name": id_,
                "task": task,
                "endpoint": endpoint or id_,
                "created": now(),
                "names": [] if id_ == name else [name],
            }
            connection.execute(insert(t.projects).values(row))
            note(connection, "project.create", id_, {"task": task, "called": name})
        return Project(**row)

    def rename_project(self, name: str, new: str) -> Project:
        """Calls the project `name` `new` from now on; its earlier names go on finding it. Raises
        `NotFound`, and `Conflict` where `new` is or was another project's."""
        with self._db.write() as connection:
            touch(connection)
            project = find_project(connection, name)
            _free(connection, new, but=project.name)
            names = [one for one in project.names if one != new]
            # Its first name, taken back, needs no entry where no other came between.
            names += [new] if names or new != project.name else []
            connection.execute(
                update(t.projects).where(t.projects.c.name == project.name).values(names=names)
            )
            note(connection, "project.rename", project.name, {"old": project.called, "new": new})
            return find_project(connection, project.name)

    def delete_project(self, name: str, *, keep_row: bool) -> None:
        """Removes the project's data versions, model versions, runs, deployments and settings, and
        revokes keys that open it alone. With `keep_row` its row stays, marked, for what refers to
        it; so it does where it has keys. Raises `NotFound`."""
        with self._db.write() as connection:
            touch(connection)
            id_ = find_project(connection, name).name
            runs = select(t.runs.c.id).where(t.runs.c.project == id_)
            connection.execute(delete(t.step_runs).where(t.step_runs.c.run_id.in_(runs)))
            for table in (t.deployments, t.runs, t.model_versions, t.data_versions):
                connection.execute(delete(table).where(table.c.project == id_))
            key = t.settings.c.key
            mine = [key == f"{kind}:{id_}" for kind in _KINDS]
            for kind in _KINDS:
                mine += [key.startswith(f"{kind}:{id_}{by}", autoescape=True) for by in ":@"]
            connection.execute(delete(t.settings).where(or_(*mine)))
            # Runs of a later project of this identity are no repetitions of this one's.
            put_setting(connection, f"deleted:{id_}", now().isoformat())
            keys = t.api_keys.c
            connection.execute(
                update(t.api_keys)
                .where(keys.project == id_, keys.revoked.is_(None))
                .values(revoked=now())
            )
            held = connection.scalar(select(keys.id).where(keys.project == id_).limit(1))
            if keep_row or held is not None:
                gone = update(t.projects).where(t.projects.c.name == id_)
                connection.execute(gone.values(deleted=now()))
            else:
                connection.execute(delete(t.prices).where(t.prices.c.project == id_))
                connection.execute(delete(t.projects).where(t.projects.c.name == id_))
            note(connection, "project.delete", id_, {"row_kept": keep_row or held is not None})

    def project(self, name: str) -> Project:
        """The project that is called `name`, or was. Raises `NotFound` naming those there are."""
        with self._db.read() as connection:
            return find_project(connection, name)

    def check_free(self, name: str, but: str = "") -> None:
        """Raises `Conflict` where a project other than `but` (an identity) has or had the name."""
        with self._db.read() as connection:
            _free(connection, name, but)

    def known(self, name: str) -> str:
        """The identity of the project that is called `name`, or was; `name` where there is none."""
        with self._db.read() as connection:
            found = _of_name(connection, name)
        return name if found is None else found.name

    def projects(self) -> list[Project]:
        """All projects by what they are called."""
        with self._db.read() as connection:
            return sorted(_all(connection), key=lambda project: project.called)

    def project_of_endpoint(self, endpoint: str) -> Project:
        """The oldest project whose endpoint this is, else the one that was renamed to it. Raises
        `NotFound` naming the endpoints."""
        with self._db.read() as connection:
            found = sorted(_all(connection), key=lambda project: project.created)
        for project in found:
            if project.endpoint == endpoint:
                return project
        for project in found:
            if endpoint in project.names:
                return project
        options = sorted({project.endpoint for project in found}) or "-"
        raise NotFound("store.no_endpoint", endpoint=endpoint, options=options)


def find_project(connection: Connection, name: str) -> Project:
    """See `Projects.project`."""
    found = _of_name(connection, name)
    if found is None:
        options = sorted(project.called for project in _all(connection)) or "-"
        raise NotFound("store.no_project", project=name, options=options)
    return found


def _of_name(connection: Connection, name: str) -> Project | None:
    found = _all(connection)
    for project in found:
        if project.called == name:
            return project
    for project in found:
        if name == project.name or name in project.names:
            return project
    return None


def _all(connection: Connection) -> list[Project]:
    query = select(t.projects).where(t.projects.c.deleted.is_(None))
    return [Project(**as_dict(row)) for row in connection.execute(query)]


def _free(connection: Connection, name: str, but: str = "") -> None:
    """Refuses a name that a project has or had, other than the project `but`."""
    found = _of_name(connection, name)
    if found is None or found.name == but:
        return
    if found.called == name:
        raise Conflict("store.project_exists", project=name)
    raise Conflict("store.project_was", project=name, now=found.called)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1
