"""Versions beside the live one: a canary answers a share of the calls, a shadow is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from feilun.errors import Conflict, NotFound, UsageError
from feilun.messages import t
from feilun.project.results import Listing
from feilun.serving.shadow import PREFIX, total
from feilun.store import Store
from feilun.store.records import Deployment, Role
from feilun.table import Moment, Table

__all__ = ["Beside", "beside", "end", "listed", "sentence", "wanted"]

Beside = tuple[Role, float]
"""What a version is deployed as beside the live one, and its share of the calls, 0 to 1."""


def wanted(store: Store, endpoint: str, canary: float | None, shadow: bool) -> Beside | None:
    """What the options of ``feilun deploy`` ask for; None for the live place. Raises `UsageError`
    for both at once and for a share that is none, `Conflict` where nothing is live yet."""
    if canary is None and not shadow:
        return None
    if canary is not None and shadow:
        raise UsageError("project.canary_or_shadow")
    if canary is not None and not 0 < canary < 100:
        raise UsageError("project.bad_canary", given=canary)
    if store.catalog.live(endpoint) is None:
        raise Conflict("project.nothing_beside", endpoint=endpoint)
    return ("shadow", 1.0) if canary is None else ("canary", canary / 100)


def end(store: Store, project: str, role: Role) -> list[str]:
    """Ends what is deployed as `role` at the endpoint of `project`; the versions. The live version
    goes on."""
    endpoint = store.catalog.project(project).endpoint
    ended = [one for one in store.catalog.active(endpoint) if one.role == role]
    for deployment in ended:
        store.catalog.end_deployment(deployment.id)
    return [deployment.version for deployment in ended]


def end_shadow(store: Store, project: str) -> str:
    """Ends the shadow; its version. Raises `NotFound` when there is none."""
    versions = end(store, project, "shadow")
    if not versions:
        raise NotFound("project.no_shadow", project=project)
    return versions[0]


def beside(store: Store, endpoint: str) -> list[dict[str, Any]]:
    """The canaries and shadows at `endpoint`: of a canary, how many calls it and the live version
    answered since, and how many of its answers were reviewed and how many of these were right; of a
    shadow, what it answered in comparison with the live version. Over all servers."""
    return [
        _told(store, deployment)
        for deployment in store.catalog.active(endpoint)
        if deployment.role != "live"
    ]


def _told(store: Store, deployment: Deployment) -> dict[str, Any]:
    told: dict[str, Any] = {
        "version": deployment.version,
        "role": deployment.role,
        "weight": deployment.weight,
        "since": deployment.since,
    }
    if deployment.role == "canary":
        model = store.catalog.model_version(deployment.version)
        used = store.ledger.usage(
            project=model.project, since=deployment.since, by=("model_version",)
        )
        calls = {row.by["model_version"]: row.units.get("calls", 0) for row in used}
        live = store.catalog.live(deployment.endpoint)
        told |= {
            "calls": calls.get(deployment.version, 0),
            "live_calls": calls.get(live.version, 0) if live else 0,
            "judged": store.ledger.audited(model.project, deployment.version),
        }
    if deployment.role == "shadow":
        kept = store.catalog.settings(f"{PREFIX}{deployment.id}:")
        counts = total(list(kept.values()))
        equal = counts.inputs - counts.different
        told |= {
            "inputs": counts.inputs,
            "different": counts.different,
            "score_difference": counts.score_sum / equal if equal else None,
            "score_difference_most": counts.score_most,
            "failed": counts.failed,
            "dropped": counts.dropped,
            "ms": 1000 * counts.seconds / counts.inputs if counts.inputs else None,
            "live_ms": 1000 * counts.live_seconds / counts.inputs if counts.inputs else None,
        }
    return told


def listed(found: Sequence[Mapping[str, Any]], called: str) -> Listing:
    """What `beside` tells, as a table."""
    rows = []
    for one in found:
        shadow = one["role"] == "shadow"
        judged, right = one.get("judged", (0, 0))
        rows.append(
            [
                one["version"],
                t(f"console.role_{one['role']}"),
                "–" if shadow else f"{100 * one['weight']:.3g} %",
                Moment(one["since"]),
                f"{one['inputs'] if shadow else one['calls']:,}",
                f"{one['different']:,}" if shadow else "–",
                f"{one['failed']:,}" if shadow else "–",
                f"{right:,} / {judged:,}" if judged else "–",
                _ms(one, "ms"),
                _ms(one, "live_ms"),
            ]
        )
    columns = [t(f"project.{name}") for name in _COLUMNS]
    title = t("project.beside", project=called)
    return Listing([dict(one) for one in found], Table(title, columns if rows else (), rows))


_COLUMNS = (
    "version", "released_as", "released_share", "since", "beside_answered", "beside_different",
    "beside_failed", "beside_right", "beside_ms", "live_ms",
)  # fmt: skip


def _ms(one: Mapping[str, Any], name: str) -> str:
    return "–" if one.get(name) is None else f"{one[name]:.2f}"


def sentence(told: Mapping[str, Any], project: str) -> str:
    """One line of ``feilun status``."""
    if told["role"] == "canary":
        return t(
            "project.canary_now",
            project=project,
            version=told["version"],
            share=100 * told["weight"],
        )
    if not told["inputs"]:
        return t("project.shadow_waits", project=project, version=told["version"])
    values = {name: told[name] for name in _SHOWN}
    return t("project.shadow_now", project=project, version=told["version"], **values)


_SHOWN: Sequence[str] = ("inputs", "different", "dropped", "failed", "ms", "live_ms")
