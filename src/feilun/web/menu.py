"""Where one can go from everywhere, by role."""

from __future__ import annotations

from dataclasses import dataclass

from feilun.web.access import Role
from feilun.web.paths import path

__all__ = ["Entry", "menu", "tabs"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu: `key` of its words, and where it leads."""

    key: str
    path: str


_STAFF = (
    Entry("home", "/"),
    Entry("customers", "/customers"),
    Entry("calls", "/calls"),
    Entry("money", "/money"),
    Entry("system", "/system"),
)


def menu(role: Role) -> tuple[Entry, ...]:
    """The menu of somebody with this role."""
    if role == "customer":
        return (
            Entry("my_use", "/mine"),
            Entry("my_calls", "/mine/calls"),
            Entry("my_invoices", "/mine/invoices"),
        )
    return _STAFF if role != "reviewer" else _STAFF[:1]


def tabs(project: str, role: Role) -> list[tuple[str, str]]:
    """The screens of one project."""
    if role == "reviewer":
        return [(name, path("p", project, name)) for name in ("review", "label")]
    names = ("data", "label", "explore", "runs", "versions", "try", "review", "settings")
    return [("overview", path("p", project))] + [(n, path("p", project, n)) for n in names]
