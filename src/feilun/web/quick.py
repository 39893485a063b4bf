"""What pages say of labels that the live version does not know yet."""

from __future__ import annotations

from typing import Any

from feilun.project import Project
from feilun.project.quick import ROWS

__all__ = ["quick"]

_NAMED = 5


def quick(project: Project) -> dict[str, Any] | None:
    """The new labels with their rows in words, the `live` version, and whether one is `ready` for a
    quick update, which takes `need` rows; None where there is no new label."""
    found = project.new_labels()
    live = project.live
    if not found or live is None:
        return None
    called = project.task.family.called
    labels = [f"{called(label)} ({rows:,})" for label, rows in list(found.items())[:_NAMED]]
    return {
        "labels": [*labels, *(["…"] if len(found) > _NAMED else [])],
        "live": live.id,
        "ready": any(rows >= ROWS for rows in found.values()),
        "need": ROWS,
    }
