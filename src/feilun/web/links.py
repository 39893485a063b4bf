"""Where the cells of tables lead: a version, its data, a run, a customer, a call, a project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

from feilun.messages import Language, t
from feilun.project import Workspace
from feilun.web.paths import path

__all__ = ["Links"]

_CUSTOMERS = ("project.customer", "plans.customer", "plans.by_customer", "calls.customer")
_PROJECTS = ("project.project", "plans.use_endpoint", "plans.by_endpoint", "calls.project")
_CALLS = ("calls.id",)
_OF_PROJECT = re.compile(
    r"(?P<project>.+?)(?:(?P<kind>[@:])[1-9]\d*|-(?:run|update|train|tune|queued)-.+)"
)


class Links:
    """For staff. What a cell means follows from how ids are written, or from its column."""

    def __init__(self, workspace: Workspace, lang: Language) -> None:
        self._workspace = workspace
        self._lang = lang

    def __call__(self, cell: str, column: str = "") -> str | None:
        """The page of what `cell` names below the heading `column`; None for what is no name."""
        if column in self._heads[_CALLS]:
            return path("calls", cell)
        if column in self._heads[_PROJECTS] and cell in self._projects:
            return path("p", self._projects[cell])
        if column in self._heads[_CUSTOMERS] and cell.removesuffix(" !") in self._customers:
            return path("customers", self._customers[cell.removesuffix(" !")])
        if cell.startswith("cus_") and cell.isascii():
            return path("customers", cell)
        found = _OF_PROJECT.fullmatch(cell)
        if found is None or found["project"] not in self._projects:
            return None
        project = self._projects[found["project"]]
        if found["kind"] == "@":
            return path("p", project, "versions", cell)
        if found["kind"] == ":":
            return path("p", project, "data", "versions", cell)
        return path("p", project, "runs", cell)

    @cached_property
    def _heads(self) -> Mapping[tuple[str, ...], set[str]]:
        keys = (_CUSTOMERS, _PROJECTS, _CALLS)
        return {those: {t(key, self._lang) for key in those} for those in keys}

    @cached_property
    def _projects(self) -> Mapping[str, str]:
        """Names by which projects go, to the one that pages know them by."""
        found = {}
        for project in self._workspace.projects():
            found[project.name] = found[project.called] = project.name
        return found

    @cached_property
    def _customers(self) -> Mapping[str, str]:
        return {one.name: one.id for one in self._workspace.store.catalog.customers()}
