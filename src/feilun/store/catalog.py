"""The catalog: everything about projects but their money and their callers' inputs.

The catalog refers to artifacts by ``sha256:…``, and never changes what it refers to. Its methods
come in parts: `Versions` (projects, artifacts, data and model versions), `Deployments`, `Runs`
(runs, steps, servers) and `Access` (customers, keys, prices, settings).
"""

from __future__ import annotations

import re

from sqlalchemy import select

from feilun.store import tables_catalog as t
from feilun.store.catalog_access import Access
from feilun.store.catalog_deployments import Deployments
from feilun.store.catalog_runs import Runs
from feilun.store.catalog_versions import Versions

__all__ = ["Catalog"]

_REF = re.compile(r"sha256:[0-9a-f]{64}")


class Catalog(Versions, Deployments, Runs, Access):
    """All tables of the catalog, over one database. Every method is a transaction of its own, and
    safe to call from threads and from several processes."""

    def references(self) -> set[str]:
        """Every artifact that something still refers to.

        Data versions, model versions that are not pruned, active deployments, and whatever a run
        that may still go on has noted in its steps.
        """
        versions = t.model_versions.c
        going = t.runs.c.state.in_(("queued", "running", "failed", "stopped"))
        queries = (
            select(t.data_versions.c.artifact, t.data_versions.c.info),
            select(versions.weights, versions.variants, versions.report, versions.metrics).where(
                versions.pruned.is_(None)
            ),
            select(t.deployments.c.artifact).where(t.deployments.c.until.is_(None)),
            select(t.step_runs.c.result).join(t.runs).where(going),
            select(t.runs.c.plan, t.runs.c.config, t.runs.c.result).where(going),
        )
        found: set[str] = set()
        with self._db.read() as connection:
            for query in queries:
                for row in connection.execute(query):
                    found.update(_REF.findall(repr(tuple(row))))
        return found
