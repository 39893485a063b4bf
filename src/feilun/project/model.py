"""A trained version and the verbs that concern it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.messages import t
from feilun.project.results import Deployed, Evaluated, Listing, Predicted, scored
from feilun.render.wording import metric_name
from feilun.store.records import ModelVersion
from feilun.table import Table
from feilun.types import Item, Schema

if TYPE_CHECKING:
    from feilun.project.project import Project

__all__ = ["Model"]


class Model:
    """A trained version, ``reviews@3``: what it scores and the verbs that concern it alone."""

    def __init__(self, project: Project, record: ModelVersion) -> None:
        self.project = project
        self.record = record

    @property
    def id(self) -> str:
        """Its name, ``reviews@3``."""
        return self.record.id

    @property
    def state(self) -> str:
        """``candidate``, ``live``, ``retired``, ``refused`` or ``failed``."""
        return self.record.state

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What was measured: scores with intervals by name, and how the training went."""
        return self.record.metrics

    def decisions(self) -> Listing:
        """Each time that it was decided whether it goes live, the oldest first."""
        from feilun.project.version_list import decisions

        return decisions(self.record)

    def labels(self) -> list[str]:
        """The names it can answer with; empty where its answers have none."""
        return list(self._schema().labels)

    def inputs(self) -> list[tuple[str, str]]:
        """What one input consists of: names with their kinds, such as ``("text", "text")``."""
        from feilun.tasks.base import of

        return [(column.name, column.kind) for column in of(self._schema()).columns]

    def _schema(self) -> Schema:
        from feilun.engines.card import read_card

        return read_card(self.project.scope.context().folder(self.record)).schema

    def predict(self, items: Item | Sequence[Item], all_scores: bool = False) -> Predicted:
        """Answers in this process, unmetered."""
        return self.project.predict(items, model=self.id, all_scores=all_scores)

    def evaluate(self, on: str | Path | None = None) -> Evaluated:
        """Judges it; see `Project.evaluate`."""
        return self.project.evaluate(self.id, on=on)

    def deploy(self, *, force: bool = False, reason: str | None = None) -> Deployed:
        """Puts it live; see `Project.deploy`."""
        return self.project.deploy(self.id, force=force, reason=reason)

    def export(self, folder: Path | str) -> list[str]:
        """Writes it as a folder that explains itself; see `Project.export`."""
        return self.project.export(self.id, folder)

    def __repr__(self) -> str:
        return f"Model({self.id!r}, {self.record.method}, {self.state})"

    def _repr_html_(self) -> str:
        scores = self.record.metrics.get("test", {})
        rows = [[metric_name(name), scored(name, score)] for name, score in scores.items()]
        title = f"{self.id} · {self.record.method} · {t(f'project.state_{self.state}')}"
        return Table(title, [t("project.metric"), t("project.score")], rows)._repr_html_()
