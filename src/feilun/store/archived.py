"""Which projects were put away, in the catalog's settings."""

from __future__ import annotations

from datetime import datetime

from feilun.store.catalog import Catalog

__all__ = ["archived", "set_archived"]

_KEY = "archived:"


def archived(catalog: Catalog) -> dict[str, str]:
    """The archived projects by name, with the time at which they were put away."""
    found = catalog.settings(_KEY)
    return {key.removeprefix(_KEY): value for key, value in found.items() if value}


def set_archived(catalog: Catalog, project: str, moment: datetime | None) -> None:
    """Notes that a project was put away, or with None that it is not."""
    catalog.set_setting(_KEY + project, moment.isoformat() if moment else "")
