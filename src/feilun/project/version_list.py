"""Every version of a project with what was decided about it."""

from __future__ import annotations

from feilun.messages import t
from feilun.pipeline.steps._history import JUDGED_AGAINST, JUDGED_ON
from feilun.project.results import Listing, tested
from feilun.project.scope import Scope
from feilun.render.wording import metric_name
from feilun.store.best import DECISIONS, GAIN
from feilun.store.records import GOLDEN, ModelVersion
from feilun.table import Moment, Table, to_jsonable

__all__ = ["decisions", "golden", "releases", "version_list"]


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
                "reason": record.told,
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
            Moment(r["created"]),
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


def decisions(record: ModelVersion) -> Listing:
    """Each time that it was decided whether the version goes live, the oldest first: on which rows,
    against which version, with which outcome; later ones judged it again on more rows."""
    rows = [
        {
            "number": number,
            "judged_on": one.get(JUDGED_ON),
            "against": one.get(JUDGED_AGAINST),
            "gain": one.get(GAIN),
            "promote": one["promote"],
            "again": number > 1,
            "report": one["report"],
        }
        for number, one in enumerate(record.metrics.get(DECISIONS, ()), 1)
    ]
    shown = [
        [
            t("project.decided_again") if row["again"] else t("project.decided_first"),
            row["judged_on"] or "–",
            row["against"] or "–",
            "–" if row["gain"] is None else f"{row['gain']:+.3f}",
            t("project.went_live") if row["promote"] else t("project.did_not"),
        ]
        for row in rows
    ]
    names = ("decision", "data_version", "decided_against", "decided_gain", "verdict")
    columns = [t(f"project.{name}") for name in names]
    return Listing(rows, Table(t("project.decisions"), columns if rows else (), shown))


def golden(record: ModelVersion) -> Listing:
    """What the golden requests proved when the version was to go live last: how many answers over
    the serving path were equal to those that were trained, and those that were not."""
    found = record.metrics.get(GOLDEN)
    differing = (found or {}).get("differing", ())
    rows = [{"expected": one, "got": other} for one, other in differing]
    notes = [t("project.golden", **found)] if found else [t("project.golden_never")]
    columns = [t("project.golden_expected"), t("project.golden_got")] if rows else []
    shown = [[row["expected"], row["got"]] for row in rows]
    return Listing(rows, Table(t("project.golden_requests"), columns, shown, notes))


def releases(scope: Scope, limit: int = 30) -> Listing:
    """What answered the project's endpoint, the newest first: live, for a share, unheard; by whose
    word and why."""
    catalog = scope.store.catalog
    found = catalog.history(catalog.project(scope.name).endpoint, limit)
    rows = [to_jsonable(one) for one in found]
    shown = [
        [
            one.version,
            t(f"console.role_{one.role}"),
            f"{one.weight:.0%}",
            Moment(one.since),
            Moment(one.until) if one.until else "–",
            one.actor,
            one.reason or "–",
        ]
        for one in found
    ]
    names = ("version", "released_as", "released_share", "since", "until", "act_actor", "reason")
    columns = [t(f"project.{name}") for name in names]
    return Listing(rows, Table(t("project.releases"), columns if rows else (), shown))
