"""The catalog: everything about projects but their money and their callers' inputs.

The catalog refers to artifacts by ``sha256:…``, and never changes what it refers to. Its methods
come in parts: `Projects`, `Versions` (artifacts, data and model versions), `Deployments`, `Runs`
(runs, steps, servers), `Access` (customers, keys, settings), `Prices` (list prices, plans) and
`Audit` (the log of administrative acts).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from sqlalchemy import Connection, select

from feilun.store import tables_catalog as t
from feilun.store.best import best_ever
from feilun.store.catalog_access import Access
from feilun.store.catalog_audit import Audit
from feilun.store.catalog_deployments import Deployments
from feilun.store.catalog_prices import Prices
from feilun.store.catalog_runs import GOING, Runs
from feilun.store.catalog_versions import Versions

__all__ = ["Catalog", "needed", "references"]

_CORPORA = select(t.settings.c.value).where(t.settings.c.key.startswith("corpus:"))
_REF = re.compile(r"sha256:[0-9a-f]{64}")


class Catalog(Versions, Deployments, Runs, Access, Prices, Audit):
    """All tables of the catalog, over one database. Every method is a transaction of its own, and
    safe to call from threads and from several processes."""

    def references(self, without: Collection[str] = ()) -> set[str]:
        """What `references` says of this catalog."""
        with self._db.read() as connection:
            return references(connection, without)

    def needed(self) -> dict[str, str]:
        """What `needed` says of this catalog."""
        with self._db.read() as connection:
            return needed(connection)

    def usable(self, project: str, newest: int) -> set[str]:
        """The model versions of `project` that must stay usable: the `newest` ones, what is
        deployed, what was live before it (for a rollback), the best that was ever live (cheaper
        ones are measured by it), and those of a run that goes on."""
        versions = self.model_versions(project)
        mine = {version.id for version in versions}
        keep = {version.id for version in versions[max(0, len(versions) - newest) :]}
        for endpoint in self.endpoints():
            history = self.history(endpoint)
            keep |= {deployment.version for deployment in history if deployment.until is None}
            former = self.former(endpoint)
            keep |= {former.version} if former else set()
            best = best_ever(reversed(history), {version.id: version for version in versions})
            keep |= {best.version} if best else set()
        going = {run.id for run in self.runs(project, states=GOING)}
        return mine & (keep | {version.id for version in versions if version.run_id in going})


def references(connection: Connection, without: Collection[str] = ()) -> set[str]:
    """Every artifact that something in the catalog still refers to, or mentions.

    Data versions, corpora, model versions that are neither pruned nor in `without`, active
    deployments, and whatever a run that may still go on has noted.
    """
    versions = t.model_versions.c
    going = t.runs.c.state.in_(GOING)
    queries = (
        select(t.data_versions.c.artifact, t.data_versions.c.info),
        _CORPORA,
        select(versions.weights, versions.variants, versions.report, versions.metrics).where(
            versions.pruned.is_(None), versions.id.not_in(without)
        ),
        select(t.deployments.c.artifact).where(t.deployments.c.until.is_(None)),
        select(t.step_runs.c.result).join(t.runs).where(going),
        select(t.runs.c.plan, t.runs.c.config, t.runs.c.result).where(going),
    )
    found: set[str] = set()
    for query in queries:
        for row in connection.execute(query):
            found.update(_REF.findall(repr(tuple(row))))
    return found


def needed(connection: Connection) -> dict[str, str]:
    """The artifacts that must be there, each with what needs it (``reviews@3``, ``reviews:2``)."""
    found: dict[str, str] = {}
    for row in connection.execute(select(t.data_versions.c.artifact, t.data_versions.c.id)):
        found[row.artifact] = row.id
    for row in connection.execute(_CORPORA):
        found[row.value["artifact"]] = row.value["id"]
    m = t.model_versions.c
    query = select(m.id, m.weights, m.report, m.variants).where(m.pruned.is_(None))
    for id_, *held in connection.execute(query):
        for ref in _REF.findall(repr(held)):
            found.setdefault(ref, id_)
    return found
