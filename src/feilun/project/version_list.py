"""Every version of a project with what was decided about it."""

from __future__ import annotations

from feilun.messages import t
from feilun.project.results import Listing, tested
from feilun.project.scope import Scope
from feilun.render.wording import metric_name
from feilun.table import Table, to_jsonable

__all__ = ["version_list"]


def version_list(scope: Scope) -> Listing:
    """The versions, newest first: state, verdict against what was live, score on the test rows."""
    rows = []
    for record in reversed(scope.store.catalog.model_versions(scope.name)):
        primary = record.metrics.get("primary", "accuracy")
        rows.append(
            {
                "version": record.id,
                "method": record.method,
                "state": record.state,
                "verdict": record.metrics.get("verdict"),
                "metric": primary,
                "score": record.metrics.get("test", {}).get(primary),
                "rows": record.metrics.get("rows"),
                "data_version": record.data_version,
                "reason": record.reason,
                "created": record.created,
                "pruned": record.pruned,
            }
        )
    shown = [
        [
            r["version"],
            r["method"],
            t(f"project.state_{r['state']}"),
            t(f"project.verdict_{r['verdict']}") if r["verdict"] else t("project.not_judged"),
            tested(r["metric"], r["score"]),
            metric_name(r["metric"]) if r["score"] else "–",
            r["data_version"] or "–",
            f"{r['created']:%Y-%m-%d %H:%M}",
        ]
        for r in rows
    ]
    names = ("version", "method", "state", "verdict", "score", "metric", "data_version", "created")
    columns = [t(f"project.{name}") for name in names]
    notes = [f"{r['version']}: {r['reason']}" for r in rows if r["state"] == "refused"]
    if not rows:
        notes = [t("project.nothing_trained_yet")]
    title = t("project.versions_of", project=scope.called)
    listed = [to_jsonable(row) for row in rows]
    return Listing(listed, Table(title, columns if rows else (), shown, notes))
