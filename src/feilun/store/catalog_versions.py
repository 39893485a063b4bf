"""The catalog's artifacts, data versions and model versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, Table, insert, select, update

from feilun.errors import NotFound
from feilun.store import tables_catalog as t
from feilun.store.catalog_audit import note
from feilun.store.catalog_base import as_dict, next_number, one, put_setting
from feilun.store.catalog_projects import Projects
from feilun.store.columns import now
from feilun.store.records import ArtifactRow, DataVersion, Json, ModelState, ModelVersion

__all__ = ["ModelChanges", "Versions"]


class ModelChanges(TypedDict, total=False):
    """What of a model version may change after it was added."""

    state: ModelState
    weights: str | None
    variant: str | None
    variants: Json
    report: str | None
    metrics: Json
    reason: str


class Versions(Projects):
    """Projects and their versions."""

    def add_artifact(self, ref: str, kind: str, size: int) -> ArtifactRow:
        """Notes a published artifact of `size` bytes; once noted it stays as it is."""
        with self._db.write() as connection:
            query = select(t.artifacts).where(t.artifacts.c.ref == ref)
            row = one(connection, query)
            if row is None:
                row = {"ref": ref, "kind": kind, "bytes": size, "created": now()}
                connection.execute(insert(t.artifacts).values(row))
        return ArtifactRow(**row)

    def artifacts(self, kind: str | None = None) -> list[ArtifactRow]:
        """Noted artifacts, oldest first."""
        query = select(t.artifacts).order_by(t.artifacts.c.created)
        if kind is not None:
            query = query.where(t.artifacts.c.kind == kind)
        with self._db.read() as connection:
            return [ArtifactRow(**as_dict(row)) for row in connection.execute(query)]

    def forget_artifacts(self, refs: Iterable[str]) -> None:
        """Removes the rows of artifacts that are no longer kept."""
        with self._db.write() as connection:
            for ref in refs:
                connection.execute(t.artifacts.delete().where(t.artifacts.c.ref == ref))

    def add_data_version(
        self,
        project: str,
        artifact: str,
        reason: str,
        *,
        parent: str | None = None,
        counts: Json | None = None,
        roles: Json | None = None,
        info: Json | None = None,
        key: str | None = None,
        settings: Json | None = None,
    ) -> DataVersion:
        """The next data version of `project`, and with it, or not at all, `settings`.

        `reason` is ``add``, ``feedback``, …; `parent` the id of the version it grew from. A row
        added under the same `key` before is returned as it is: a step that runs again after a kill
        adds nothing twice. Raises `NotFound` for an unknown project.
        """
        self.project(project)
        row: dict[str, Any] = {
            "artifact": artifact,
            "parent": parent,
            "reason": reason,
            "counts": dict(counts or {}),
            "roles": dict(roles or {}),
            "info": dict(info or {}),
        }
        with self._db.write() as connection:
            row = _add(connection, t.data_versions, project, ":", key, row)
            for name, value in (settings or {}).items():
                put_setting(connection, name, value)
        return DataVersion(**row)

    def replace_data(
        self, artifact: str, instead: str, counts: Json, change: Callable[[Any], Any]
    ) -> None:
        """Puts the artifact `instead`, with its `counts`, in place of `artifact` in every data
        version that has it, and what `change` makes of their info: rows were erased."""
        table = t.data_versions
        with self._db.write() as connection:
            rows = connection.execute(select(table).where(table.c.artifact == artifact)).all()
            for row in rows:
                values = {"artifact": instead, "counts": counts, "info": change(row.info)}
                connection.execute(update(table).where(table.c.id == row.id).values(values))

    def rewrite_runs(self, project: str, change: Callable[[Any], Any]) -> int:
        """Keeps of the project's runs and their steps what `change` makes of their JSON and their
        errors; how many rows were changed."""
        count = 0
        with self._db.write() as connection:
            runs = connection.execute(select(t.runs).where(t.runs.c.project == project)).all()
            steps = select(t.step_runs).where(t.step_runs.c.run_id.in_([row.id for row in runs]))
            for row in runs:
                new = {name: change(getattr(row, name)) for name in ("config", "result", "error")}
                if any(value != getattr(row, name) for name, value in new.items()):
                    connection.execute(update(t.runs).where(t.runs.c.id == row.id).values(new))
                    count += 1
            for row in connection.execute(steps).all():
                new = {name: change(getattr(row, name)) for name in ("result", "progress")}
                if any(value != getattr(row, name) for name, value in new.items()):
                    of = (t.step_runs.c.run_id == row.run_id) & (t.step_runs.c.step == row.step)
                    of &= t.step_runs.c.attempt == row.attempt
                    connection.execute(update(t.step_runs).where(of).values(new))
                    count += 1
        return count

    def data_version(self, id: str) -> DataVersion:
        """The data version of this id (``reviews:2``). Raises `NotFound`."""
        with self._db.read() as connection:
            row = one(connection, select(t.data_versions).where(t.data_versions.c.id == id))
        if row is None:
            raise NotFound("store.no_data_version", id=id)
        return DataVersion(**row)

    def data_versions(self, project: str) -> list[DataVersion]:
        """The data versions of `project`, oldest first."""
        table = t.data_versions
        query = select(table).where(table.c.project == project).order_by(table.c.number)
        with self._db.read() as connection:
            return [DataVersion(**as_dict(row)) for row in connection.execute(query)]

    def latest_data(self, project: str) -> DataVersion | None:
        """The newest data version of `project`, None before the first."""
        versions = self.data_versions(project)
        return versions[-1] if versions else None

    def add_model_version(
        self,
        project: str,
        method: str,
        *,
        state: ModelState = "candidate",
        data_version: str | None = None,
        parent: str | None = None,
        weights: str | None = None,
        variant: str | None = None,
        variants: Json | None = None,
        report: str | None = None,
        metrics: Json | None = None,
        config: Json | None = None,
        reason: str = "",
        run_id: str | None = None,
        key: str | None = None,
    ) -> ModelVersion:
        """The next model version of `project`; `key` as in `add_data_version`.

        Raises `NotFound` for an unknown project.
        """
        self.project(project)
        row: dict[str, Any] = {
            "method": method,
            "state": state,
            "data_version": data_version,
            "parent": parent,
            "weights": weights,
            "variant": variant,
            "variants": dict(variants or {}),
            "report": report,
            "metrics": dict(metrics or {}),
            "config": dict(config or {}),
            "reason": reason,
            "run_id": run_id,
            "pruned": None,
        }
        with self._db.write() as connection:
            row = _add(connection, t.model_versions, project, "@", key, row)
        return ModelVersion(**row)

    def update_model_version(self, id: str, **changes: Unpack[ModelChanges]) -> ModelVersion:
        """Sets `changes` on the model version. Raises `NotFound`."""
        table = t.model_versions
        with self._db.write() as connection:
            if changes:
                connection.execute(update(table).where(table.c.id == id).values(**changes))
            row = one(connection, select(table).where(table.c.id == id))
        if row is None:
            raise NotFound("store.no_model_version", id=id)
        return ModelVersion(**row)

    def model_version(self, name: str) -> ModelVersion:
        """The model version of this name: ``reviews@3``, ``reviews@live`` (what answers at the
        project's endpoint) or ``reviews`` alone (the newest that did not fail).

        Raises `NotFound` for unknown names, naming the versions there are.
        """
        given, _, which = name.partition("@")
        project = self.known(given)
        found = self.model_versions(project)
        if which.isdigit():
            chosen = [version for version in found if version.number == int(which)]
        elif which == "live":
            live = self._live_version(project)
            chosen = [version for version in found if version.id == live]
        elif which in ("", "latest"):
            chosen = [version for version in found if version.state != "failed"]
        else:
            chosen = []
        if not chosen:
            self.project(project)
            options = [version.id for version in found] or "-"
            raise NotFound("store.no_such_version", name=name, options=options)
        return chosen[-1]

    def _live_version(self, project: str) -> str | None:
        table = t.deployments
        query = (
            select(table.c.version)
            .join(t.projects, t.projects.c.endpoint == table.c.endpoint)
            .where(t.projects.c.name == project, table.c.role == "live", table.c.until.is_(None))
        )
        with self._db.read() as connection:
            version: str | None = connection.scalar(query)
        return version

    def model_versions(self, project: str) -> list[ModelVersion]:
        """The model versions of `project`, oldest first."""
        table = t.model_versions
        query = select(table).where(table.c.project == project).order_by(table.c.number)
        with self._db.read() as connection:
            return [ModelVersion(**as_dict(row)) for row in connection.execute(query)]

    def prune(self, ids: Iterable[str]) -> None:
        """Notes that these model versions' artifacts are given up; their rows stay."""
        table, given_up = t.model_versions, sorted(ids)
        if not given_up:
            return
        with self._db.write() as connection:
            for id_ in given_up:
                connection.execute(update(table).where(table.c.id == id_).values(pruned=now()))
            note(connection, "gc.prune", f"{len(given_up)}", {"versions": given_up})


def _add(
    connection: Connection,
    table: Table,
    project: str,
    sign: str,
    key: str | None,
    row: dict[str, Any],
) -> dict[str, Any]:
    number = next_number(connection, table, project)
    if key is not None:
        there = one(connection, select(table).where(table.c.key == key))
        if there is not None:
            return there
    row |= {
        "id": f"{project}{sign}{number}",
        "project": project,
        "number": number,
        "created": now(),
    }
    connection.execute(insert(table).values(**row, key=key))
    return row
