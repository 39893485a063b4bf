"""The catalog's deployments: which version answers where, now and before."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select, update

from feilun.errors import Conflict, NotFound
from feilun.store import tables_catalog as t
from feilun.store.catalog_audit import note
from feilun.store.catalog_base import CatalogPart, as_dict, one, touch
from feilun.store.columns import now
from feilun.store.database import Database
from feilun.store.probe import Probe
from feilun.store.records import Deployment, ModelVersion, Role

__all__ = ["Deployments"]


class Deployments(CatalogPart):
    """Deployments and the epoch that servers watch."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._epoch = Probe(database, "SELECT value FROM counters WHERE name = 'epoch'")
        self._version = Probe(database, "PRAGMA data_version")
        self._seen: tuple[int | None, int] = None, 0

    def set_live(
        self,
        endpoint: str,
        version: str,
        variant: str | None = None,
        *,
        reason: str = "",
        forced: bool = False,
        actor: str = "",
    ) -> Deployment:
        """Lets `version` (``reviews@3``) answer at `endpoint`, in place of what did, at once.

        `variant` None is the version's chosen one. The former version becomes ``retired`` unless
        it is live elsewhere. If this very variant is live there already, nothing changes. Raises
        `NotFound` for an unknown version, `Conflict` for one whose artifacts are not there.
        """
        with self._db.write() as connection:
            touch(connection)
            row = _row(connection, endpoint, version, variant)
            former = _live(connection, endpoint)
            if former and (former.version, former.artifact) == (version, row["artifact"]):
                return former
            moment = now()
            if former:
                _end(connection, former.id, moment)
            # A canary or shadow of the version that goes live now has done its work.
            connection.execute(
                update(t.deployments)
                .where(
                    t.deployments.c.endpoint == endpoint,
                    t.deployments.c.version == version,
                    t.deployments.c.until.is_(None),
                )
                .values(until=moment)
            )
            row |= {
                "weight": 1.0,
                "role": "live",
                "since": moment,
                "actor": actor,
                "reason": reason,
                "forced": forced,
            }
            deployment = _insert(connection, row)
            if former and former.version != version:
                _retire_unless_live(connection, former.version)
            _set_state(connection, version, "live")
            before = former.version if former else None
            _note(connection, "deployment.live", deployment, {"before": before})
        return deployment

    def deploy_beside(
        self,
        endpoint: str,
        version: str,
        variant: str | None = None,
        *,
        role: Role,
        weight: float,
        reason: str = "",
        actor: str = "",
    ) -> Deployment:
        """Adds a ``canary`` or ``shadow`` beside the live version, with `weight` of the calls
        (0 to 1), in place of what this version was there before. Raises as `set_live` does, and
        `Conflict` for the live version itself and for canaries of more than all calls."""
        with self._db.write() as connection:
            touch(connection)
            row = _row(connection, endpoint, version, variant)
            _check_beside(connection, row, role, weight)
            row |= {
                "weight": weight,
                "role": role,
                "since": now(),
                "actor": actor,
                "reason": reason,
                "forced": False,
            }
            deployment = _insert(connection, row)
            _note(connection, f"deployment.{role}", deployment, {"weight": weight})
        return deployment

    def end_deployment(self, id: int) -> None:
        """Ends one deployment now; its version is retired if it was live and is nowhere else."""
        with self._db.write() as connection:
            touch(connection)
            row = one(connection, select(t.deployments).where(t.deployments.c.id == id))
            if row is None or row["until"] is not None:
                return
            _end(connection, id, now())
            if row["role"] == "live":
                _retire_unless_live(connection, row["version"])
            _note(connection, "deployment.end", Deployment(**row), {"role": row["role"]})

    def live(self, endpoint: str) -> Deployment | None:
        """What answers at `endpoint` now."""
        with self._db.read() as connection:
            return _live(connection, endpoint)

    def active(self, endpoint: str | None = None) -> list[Deployment]:
        """Everything that is deployed now: live, canary and shadow, at one endpoint or at all."""
        table = t.deployments
        query = select(table).where(table.c.until.is_(None)).order_by(table.c.endpoint, table.c.id)
        if endpoint is not None:
            query = query.where(table.c.endpoint == endpoint)
        with self._db.read() as connection:
            return [Deployment(**as_dict(row)) for row in connection.execute(query)]

    def history(self, endpoint: str, limit: int | None = None) -> list[Deployment]:
        """What was deployed at `endpoint`, newest first."""
        table = t.deployments
        query = select(table).where(table.c.endpoint == endpoint).order_by(table.c.id.desc())
        if limit is not None:
            query = query.limit(limit)
        with self._db.read() as connection:
            return [Deployment(**as_dict(row)) for row in connection.execute(query)]

    def former(self, endpoint: str) -> Deployment | None:
        """What a rollback would return to: what was live before the version that is live now. A
        version that was rolled back from does not count, so that a second rollback goes further
        back; nor does one whose artifacts gc gave up."""
        before: list[Deployment] = []
        for past in reversed(self.history(endpoint)):
            if past.role != "live":
                continue
            if past.actor == "rollback":
                while before and before[-1].version != past.version:
                    before.pop()
            if not before or before[-1].version != past.version:
                before.append(past)
            else:
                before[-1] = past
        table = t.model_versions
        with self._db.read() as connection:
            query = select(table.c.id).where(table.c.pruned.is_not(None))
            pruned = set(connection.scalars(query))
        return next((past for past in reversed(before[:-1]) if past.version not in pruned), None)

    def endpoints(self) -> list[str]:
        """Every endpoint at which something is or was deployed, by name."""
        c = t.deployments.c
        with self._db.read() as connection:
            query = select(c.endpoint).distinct().order_by(c.endpoint)
            return list(connection.scalars(query))

    def epoch(self) -> int:
        """A number that grows with every change of deployments, keys and prices. Every group of
        calls asks for it twice: tens of microseconds on PostgreSQL, a few on SQLite, where only the
        first time after somebody's commit reads it."""
        if not self._db.sqlite:
            return int(self._epoch.ask() or 0)
        # Before the look at the row: a commit in between is seen the next time.
        version = self._version.ask()
        seen, epoch = self._seen
        if seen != version:
            with self._db.read() as connection:
                query = select(t.counters.c.value).where(t.counters.c.name == "epoch")
                epoch = int(connection.scalar(query) or 0)
            self._seen = version, epoch
        return epoch


def _row(
    connection: Connection, endpoint: str, version: str, variant: str | None
) -> dict[str, Any]:
    found = one(connection, select(t.model_versions).where(t.model_versions.c.id == version))
    if found is None:
        raise NotFound("store.no_model_version", id=version)
    model = ModelVersion(**found)
    if variant and variant not in model.variants:
        options = sorted(model.variants) or "-"
        raise NotFound("store.no_variant", version=version, variant=variant, options=options)
    artifact = model.artifact(variant)
    if artifact is None or model.pruned is not None or model.state == "failed":
        raise Conflict("store.version_without_weights", version=version, state=model.state)
    return {
        "endpoint": endpoint,
        "project": model.project,
        "version": version,
        "variant": variant or model.variant,
        "artifact": artifact,
        "until": None,
    }


def _check_beside(connection: Connection, row: dict[str, Any], role: Role, weight: float) -> None:
    """Ends what the version was beside the live one until now."""
    endpoint, version = row["endpoint"], row["version"]
    live = _live(connection, endpoint)
    if live and (live.version, live.artifact) == (version, row["artifact"]):
        raise Conflict("store.live_already", version=version, endpoint=endpoint)
    c = t.deployments.c
    beside = (c.endpoint == endpoint, c.role != "live", c.until.is_(None))
    own = update(t.deployments).where(*beside, c.version == version).values(until=now())
    connection.execute(own)
    others = connection.scalars(select(c.weight).where(*beside, c.role == "canary"))
    if role == "canary" and sum(others) + weight > 1:
        raise Conflict("store.canaries_full", endpoint=endpoint)


def _insert(connection: Connection, row: dict[str, Any]) -> Deployment:
    result = connection.execute(insert(t.deployments).values(row))
    key = result.inserted_primary_key
    assert key is not None
    return Deployment(id=key[0], **row)


def _live(connection: Connection, endpoint: str) -> Deployment | None:
    table = t.deployments
    row = one(
        connection,
        select(table).where(
            table.c.endpoint == endpoint, table.c.role == "live", table.c.until.is_(None)
        ),
    )
    return None if row is None else Deployment(**row)


def _note(connection: Connection, action: str, what: Deployment, more: dict[str, Any]) -> None:
    detail = {"version": what.version, "variant": what.variant, **more}
    if what.reason:
        detail["reason"] = what.reason
    if what.actor:  # the part of feilun that deployed: a rollback, a turn of the wheel
        detail["by"] = what.actor
    if what.forced:
        detail["forced"] = True
    note(connection, action, what.endpoint, detail)


def _end(connection: Connection, id_: int, moment: Any) -> None:
    connection.execute(update(t.deployments).where(t.deployments.c.id == id_).values(until=moment))


def _set_state(connection: Connection, version: str, state: str) -> None:
    connection.execute(
        update(t.model_versions).where(t.model_versions.c.id == version).values(state=state)
    )


def _retire_unless_live(connection: Connection, version: str) -> None:
    table = t.deployments
    elsewhere = connection.scalar(
        select(table.c.id).where(
            table.c.version == version, table.c.role == "live", table.c.until.is_(None)
        )
    )
    if elsewhere is None:
        _set_state(connection, version, "retired")
