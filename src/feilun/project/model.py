"""One version of a project's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.messages import t
from feilun.project.results import Deployed, Evaluated, Predicted, scored
from feilun.table import Table
from feilun.types import Item

if TYPE_CHECKING:
    from feilun.project.project import Project
    from feilun.store.records import ModelVersion

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
        rows = [[t(f"metrics.{name}"), scored(name, score)] for name, score in scores.items()]
        title = f"{self.id} · {self.record.method} · {t(f'project.state_{self.state}')}"
        return Table(title, [t("project.metric"), t("project.score")], rows)._repr_html_()
