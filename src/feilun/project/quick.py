"""A quick update: when it helps, and what it asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from feilun.engines.card import read_card
from feilun.errors import NotFound
from feilun.project.scope import Scope

__all__ = ["ROWS", "hastened", "new_labels"]

ROWS = 5
"""Corrections, and rows of a new label, that a quick update waits for at most."""


def hastened(scope: Scope, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """See `Project.hastened`."""
    config, _ = scope.resolved(dict(overrides or {}))
    few = {
        "update.quick": True,
        "update.min_corrections": min(ROWS, config.update.min_corrections),
        "update.new_label_rows": min(ROWS, config.update.new_label_rows),
    }
    return few | dict(overrides or {})


def new_labels(scope: Scope) -> dict[str, int]:
    """See `Project.new_labels`."""
    live, data = scope.live(), scope.store.catalog.latest_data(scope.name)
    if live is None:
        return {}
    try:
        known = set(read_card(scope.context().folder(live, "")).schema.labels)
    except NotFound:
        return {}  # another server answers, or the weights are gone: nothing can go on from it
    rows: Counter[str] = Counter(data.info.get("waiting") or {} if data is not None else {})
    for said in scope.store.ledger.feedback(scope.name, unused_only=True):
        rows.update(scope.task.family.names([said.feedback.label]))
    return {label: count for label, count in rows.most_common() if label not in known}
