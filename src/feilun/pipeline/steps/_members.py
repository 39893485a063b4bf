"""The versions at hand that a method combines: for an ensemble, a soup, a student."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feilun.engines.card import read_card
from feilun.engines.cascade import stages_of
from feilun.pipeline.context import Context
from feilun.training.settings import method

__all__ = ["members", "members_of", "unlabelled"]

_TRAFFIC = 20_000
"""Inputs of calls that teach at most, the newest."""


def members(context: Context, name: str, settings: Mapping[str, Any]) -> tuple[Path, ...]:
    """The folders of the newest versions of the methods in the setting ``of`` (default: of every
    other method that does not combine itself), oldest first, for the method `name`; nothing for
    one that does not combine. All versions of these methods for one that wants ``every`` one. Of a
    cascade it is the last stage."""
    how = getattr(method(name), "combines", None)
    if how is None:
        return ()
    wanted = tuple(settings.get("of", ()))
    found: dict[str, Path] = {}
    for version in context.store.catalog.model_versions(context.project):
        other = version.method
        fits = other in wanted if wanted else other != name
        if not fits or version.pruned or version.state == "failed" or version.artifact() is None:
            continue
        folder = context.folder(version, "" if how == "weights" else None)
        if how == "served":
            folder = (stages_of(folder) if read_card(folder).format == "cascade" else [folder])[-1]
        place = version.id if getattr(method(name), "every", False) else other
        found.pop(place, None)
        found[place] = folder
    return tuple(found.values())


def unlabelled(context: Context, settings: Mapping[str, Any], out: Path) -> Path | None:
    """Writes what callers asked of late, a JSON value a line, where a method's setting ``traffic``
    wants it: inputs without feedback that are kept and may be; None where there are none."""
    if not settings.get("traffic"):
        return None
    asked = context.store.ledger.recent_predictions(
        context.project, limit=_TRAFFIC, unlabelled_only=True
    )
    items = {json.dumps(one.input, ensure_ascii=False) for one in asked if _is_plain(one.input)}
    if not items:
        return None
    out.write_text("\n".join(sorted(items)) + "\n", "utf-8")
    return out


def _is_plain(item: Any) -> bool:
    values = item.values() if isinstance(item, Mapping) else (item,)
    return item is not None and not any(isinstance(value, bytes) for value in values)


def members_of(folder: Path) -> tuple[str, ...]:
    """The methods of the members of the version in `folder`."""
    return tuple(read_card(one).method for one in stages_of(folder))
