"""Builds data versions in tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from feilun.config import DataConfig
from feilun.data.outcome import BuildReport
from feilun.data.roles import known_names
from feilun.data.sources import Options, Source, Table, open_tables
from feilun.data.sources.base import AnySource, BadRow
from feilun.data.versions import build
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.types import Row

__all__ = ["bad_rows", "build_version", "images_task", "rows_of", "table_of", "texts_task"]


def texts_task() -> TaskBase:
    """The task of texts."""
    return tasks.get("text-classification")


def images_task() -> TaskBase:
    """The task of pictures."""
    return tasks.get("image-classification")


def build_version(
    out: Path,
    *sources: AnySource | Path,
    task: TaskBase | None = None,
    settings: DataConfig | None = None,
    **more: Any,
) -> tuple[Dataset, BuildReport]:
    """The data version of `sources`, and what building it found. Bad rows go to ``OUT.bad``."""
    listed = [Source(s) if isinstance(s, Path) else s for s in sources]
    more.setdefault("bad_rows", out.with_name(out.name + ".bad"))
    report = build(
        listed, task=task or texts_task(), settings=settings or DataConfig(), out=out, **more
    )
    return Dataset(out), report


def bad_rows(out: Path) -> list[dict[str, Any]]:
    """The bad rows that `build_version` wrote."""
    file = out.with_name(out.name + ".bad")
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def table_of(file: Path | str, **options: Any) -> Table:
    """The one table of a source, as the task of texts would open it. Read or close it."""
    (table,) = open_tables(Source(file, Options(**options)), known_names(texts_task(), {}))
    return table


def rows_of(table: Table) -> list[dict[str, Any] | str]:
    """The values of good rows, the codes of bad ones."""
    found: list[dict[str, Any] | str] = []
    for row in table.rows():
        if isinstance(row, Row):
            found.append(dict(row.values))
        else:
            assert isinstance(row, BadRow)
            assert row.reason()
            found.append(row.code)
    return found
