"""The verbs of a project that look for what to train, before anything is trained by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from feilun.project.data_verbs import DataVerbs
from feilun.project.scope import Report

if TYPE_CHECKING:
    from feilun.project.bases import BasesView
    from feilun.project.planning import Planned
    from feilun.project.tuning import SearchView

__all__ = ["SearchVerbs"]


class SearchVerbs(DataVerbs):
    """Plans, base models at hand, and searches that others began."""

    def plan(
        self, *, overrides: Mapping[str, Any] | None = None, report: Report | None = None
    ) -> Planned:
        """What `run` would train with these settings, and the time and memory that each stage would
        take; nothing is trained. Raises `NotFound` before the first data version."""
        from feilun.project.planning import planned

        return planned(self.scope, overrides, report)

    def bases(
        self, given: Sequence[str] = (), *, rows: int = 500, report: Report | None = None
    ) -> BasesView:
        """The base models on this machine (starters, versions of this workspace, and those `given`
        by name or folder), those that fit the task, the language, the memory and the time first,
        ranked by how well their vectors tell up to `rows` training rows apart, with what each would
        cost. Nothing is downloaded. Raises `NotFound` for a name that is not here."""
        from feilun.project.bases import bases

        return bases(self.scope, given, rows, report)

    def join_search(self, *, report: Report | None = None) -> SearchView:
        """Helps with the search that another process began by `tune`, until its time is over.
        Raises `NotFound` where none goes on."""
        from feilun.project.tuning import join

        return join(self.scope, report)
