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


def tabs(project: str, role: Role, *, writes: bool = False) -> list[tuple[str, str]]:
    """The screens of one project, whose task `writes` its answers or does not."""
    reviewing = ("review", "preference") if writes else ("review",)
    if role == "reviewer":
        return [(name, path("p", project, name)) for name in (*reviewing, "label")]
    names = ("data", "label", "explore", "runs", "versions", "try", *reviewing, "settings")
    return [("overview", path("p", project))] + [(n, path("p", project, n)) for n in names]
