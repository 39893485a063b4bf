"""The verbs of a project that concern the variants of its versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feilun.messages import knowing
from feilun.project import looks
from feilun.project.data_verbs import DataVerbs
from feilun.project.results import Compressed
from feilun.project.scope import Report

if TYPE_CHECKING:
    from feilun.project.explored import Frontier

__all__ = ["VariantVerbs"]


class VariantVerbs(DataVerbs):
    """Building variants, measuring them, choosing one."""

    def compress(self, model: str | None = None, *, report: Report | None = None) -> Compressed:
        """Builds and measures the variants of a version and chooses one."""
        from feilun.pipeline.steps import compress

        version = self.scope.version(model)
        with self.workspace.store.lock(self.name), knowing():
            packed = compress(self.scope.context(report), version=version.id)
        return looks.compressed(self.workspace.store, version.id, packed)

    def explore(self, *, report: Report | None = None) -> Frontier:
        """Measures the variants of the newest version of every method and the cascades of them on
        the same validation rows; the cheapest within the allowed loss becomes the variant of its
        version. The table and a picture of it stay in ``frontier`` beside the project's file."""
        from feilun.pipeline.steps.explore import explore
        from feilun.project.explored import keep

        with self.workspace.store.lock(self.name), knowing():
            found = explore(self.scope.context(report))
        return keep(self.called, self.file.parent, found)
