"""The verbs of a project that look for what to train, before anything is trained by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from feilun.project.data_verbs import DataVerbs
from feilun.project.scope import Report

if TYPE_CHECKING:
    from feilun.project.bases import BasesView
    from feilun.project.comparing import ComparisonView
    from feilun.project.forecast import ForecastView
    from feilun.project.planning import Planned
    from feilun.project.tuning import SearchView

__all__ = ["SearchVerbs"]


class SearchVerbs(DataVerbs):
    """Plans, base models at hand, methods side by side, what more labels would bring, and searches
    that others began."""

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

    def forecast(
        self,
        model: str | None = None,
        *,
        gain: float | None = None,
        target: float | None = None,
        report: Report | None = None,
    ) -> ForecastView:
        """How many more labels `gain` in accuracy would take, or `target`, counted from `model`
        (default: the latest): to learn it, and to prove it on the test rows."""
        from feilun.project.forecast import look

        catalog = self.workspace.store.catalog
        version = self.scope.version(model) if model or catalog.model_versions(self.name) else None
        return look(self.scope.context(report), version, gain, target)

    def compare(
        self,
        methods: str | Sequence[str] = "all",
        *,
        reference: str | None = None,
        restart: bool = False,
        report: Report | None = None,
    ) -> ComparisonView:
        """Trains `methods` (names, or ``all`` that can learn the rows) on the same rows and judges
        them on the validation rows, the test rows are not asked; gains are counted from
        `reference`, by default the cheapest. Goes on where it was interrupted; what was compared
        before is shown again, unless with `restart`. Raises `InvalidData` without validation rows,
        `UsageError` where none of the methods can be trained."""
        from feilun.project.comparing import compare

        folder = self.scope.file.parent
        context = self.scope.context(report)
        return compare(context, folder, methods, reference, anew=restart)

    def join_search(self, *, report: Report | None = None) -> SearchView:
        """Helps with the search that another process began by `tune`, until its time is over.
        Raises `NotFound` where none goes on."""
        from feilun.project.tuning import join

        return join(self.scope, report)
