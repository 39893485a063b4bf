"""Projects of the demonstration's reviews, and the 1,000 reviews that no project sees."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.evidence.review import read

from feilun.demo.tasks import text_classification as reviews
from feilun.engines.base import Engine, open_engine
from feilun.project import Project, Workspace
from feilun.store.records import ModelVersion

__all__ = ["Unseen", "answering", "reviewed", "settings_of", "trained"]


@dataclass(frozen=True)
class Unseen:
    """Texts with their labels."""

    texts: list[str]
    labels: list[str]

    def right(self, engine: Engine) -> np.ndarray:
        """Which of them `engine` has right, boolean (rows,)."""
        names = np.array(engine.card.schema.labels)
        right: np.ndarray = names[engine.raw(self.texts).argmax(axis=1)] == np.array(self.labels)
        return right


@contextmanager
def reviewed(
    folder: Path, lang: str = "en", rows: int | None = None, base: str | None = None
) -> Iterator[tuple[Project, Unseen]]:
    """The project in `folder` that holds the first `rows` of the training file, all by default,
    made where it is not there yet, with the reviews of the other file."""
    files = reviews.files(folder, lang)
    unseen = Unseen(*read(files.testing, files.text, files.label))
    with Workspace(folder / "workspace") as workspace:
        if not (folder / "workspace" / "reviews").is_dir():
            workspace.init("reviews", base=base)
        project = workspace.project("reviews")
        if not workspace.store.catalog.latest_data(project.name):
            project.add(_cut(files.training, rows, folder / "rows.csv"))
        yield project, unseen


def _cut(file: Path, rows: int | None, out: Path) -> Path:
    if rows is None:
        return file
    with (
        file.open(encoding="utf-8", newline="") as stream,
        out.open("w", encoding="utf-8", newline="") as written,
    ):
        csv.writer(written).writerows(itertools.islice(csv.reader(stream), rows + 1))
    return out


def trained(project: Project, method: str, overrides: Mapping[str, Any]) -> ModelVersion:
    """The version of a method with its variants; it is trained where there is none yet."""

    def found() -> list[ModelVersion]:
        versions = project.workspace.store.catalog.model_versions(project.name)
        return [one for one in versions if one.method == method and one.variants]

    if not found():
        project.run(method=method, overrides=overrides)
    return found()[-1]


def answering(project: Project, version: str, variant: str | None = None) -> Engine:
    """The engine of a `variant` of a version: of the one that was chosen, or with ``""`` of the
    float weights."""
    return open_engine(project.scope.context().folder(project.scope.version(version), variant))


def settings_of(asked: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` as overrides of a run."""
    return dict(one.split("=", 1) for one in asked)
