"""Files that are not added yet, as a data version of their own that lives as long as the look.

Unlike a real one it keeps every usable row, duplicates and contradictions too: they are what is
looked for. All rows train; nothing is divided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feilun.data.columns import bind
from feilun.data.content import label_text
from feilun.data.outcome import SourceReport
from feilun.data.reading import open_readings, row_id
from feilun.data.sources.base import BadRow, Source
from feilun.errors import InvalidData
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks.base import TaskBase
from feilun.types import Example, Row, Schema

__all__ = ["Columns", "Staged", "sample_columns", "stage"]

_MAX_LABELS = 1000


@dataclass(frozen=True, slots=True)
class Staged:
    """The rows of some files: `data` holds the usable ones, `bad` counts the others, by `reasons`
    (sentence → rows) and of them `empty`."""

    data: Dataset
    bad: int
    empty: int
    reasons: Mapping[str, int]
    sources: tuple[SourceReport, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of the source that play no role: sampled `values` by name, and the `labels` of the
    same rows (places in the schema)."""

    values: Mapping[str, Sequence[Any]]
    labels: np.ndarray


def stage(
    sources: Sequence[Source],
    task: TaskBase,
    columns: Mapping[str, str],
    settings: Mapping[str, Any],
    out: Path,
    tick: Callable[[int], None] = lambda rows: None,
) -> Staged:
    """Reads `sources` into the empty folder `out`. A row keeps where it stood as its source:
    ``reviews.csv:17``. Raises `InvalidData` for what cannot be read, and without a usable row."""
    task, settings, _ = bind(task, sources, columns, settings)
    kinds = {column.name: column.kind for column in task.columns}
    reasons: Counter[str] = Counter()
    labels: dict[str, None] = {}
    reports = []
    rows = bad = empty = 0
    with DatasetWriter(out, kinds, task.family.stratum) as writer, ExitStack() as opened:
        for source in sources:
            for reading in open_readings(source, task, columns):
                table = opened.enter_context(closing(reading.table))
                before, refused = rows + bad, bad
                for number, one in enumerate(reading, 1):
                    if isinstance(one, BadRow):
                        bad += 1
                        empty += one.code == "data.empty_input"
                        reasons[one.reason()] += 1
                        continue
                    rows += 1
                    labels[one.label or ""] = None
                    if not task.family.many_targets and len(labels) > _MAX_LABELS:
                        shown = [label[:40] for label in list(labels)[-3:]]
                        raise InvalidData(
                            "data.too_many_labels",
                            file=table.name,
                            limit=_MAX_LABELS,
                            examples=shown,
                        )
                    writer.add(_placed(one, task, f"{Path(table.name).name}:{number}"))
                    if not rows % 4096:
                        tick(rows)
                reports.append(
                    SourceReport(
                        table.name,
                        rows + bad - before,
                        bad - refused,
                        roles=reading.roles,
                        details=table.details,
                    )
                )
        if not rows:
            files = [report.name for report in reports]
            raise InvalidData("data.no_rows", files=files)
        names = task.family.names(set(labels))
        if len(names) > _MAX_LABELS:
            raise InvalidData(
                "data.too_many_labels",
                file=reports[-1].name,
                limit=_MAX_LABELS,
                examples=[name[:40] for name in names[-3:]],
            )
        writer.close(Schema(task.name, names, settings))
    return Staged(Dataset(out), bad, empty, reasons, tuple(reports))


def _placed(example: Example, task: TaskBase, place: str) -> Example:
    name = row_id(example, task)
    return Example(name, example.item, example.label, "train", example.group, "", place)


def sample_columns(
    source: Source,
    task: TaskBase,
    columns: Mapping[str, str],
    labels: Sequence[str],
    rows: int,
    most: int,
) -> Columns | None:
    """Every so many rows of the first table of `source`, which has `rows` in all: the columns that
    are neither input nor label. None where there are none."""
    readings = open_readings(source, task, columns)
    with ExitStack() as opened:
        for reading in readings:
            opened.enter_context(closing(reading.table))
        table, roles = readings[0].table, readings[0].roles
        others = [c for c in table.columns if c not in roles.inputs.values() and c != roles.label]
        if not others or roles.label is None:
            return None
        places = {label: place for place, label in enumerate(labels)}
        step = max(1, -(-rows // most))
        values: dict[str, list[Any]] = {name: [] for name in others}
        found: list[int] = []
        for number, row in enumerate(table.rows()):
            if number % step or not isinstance(row, Row):
                continue
            place = places.get(_label(task, row.values.get(roles.label)), -1)
            if place < 0:
                continue
            found.append(place)
            for name in others:
                values[name].append(row.values.get(name))
    return Columns(values, np.array(found, np.int64)) if found else None


def _label(task: TaskBase, value: Any) -> str:
    try:
        return label_text(task, value) or ""
    except InvalidData:
        return ""
