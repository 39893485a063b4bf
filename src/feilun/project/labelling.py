"""Rows out to a labelling tool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from feilun.data.clean.named import read_ids
from feilun.data.export import export
from feilun.errors import UsageError
from feilun.messages import t
from feilun.project.scope import Scope
from feilun.table import Result, Table
from feilun.types import Split

__all__ = ["RowsWritten", "export_data"]


@dataclass(frozen=True)
class RowsWritten(Result):
    """The rows of data version `version` that stand in `file`; `media` is the folder of pictures
    beside it, `config` the labelling interface, where there are any."""

    version: str
    rows: int
    format: str
    file: Path
    media: Path | None
    config: Path | None

    def tables(self) -> Sequence[Table]:
        notes = []
        if self.media:
            notes.append(t("formats.with_media", folder=self.media))
        if self.config:
            notes.append(t("formats.with_config", file=self.config))
        title = t("formats.written", rows=self.rows, version=self.version, file=self.file)
        return (Table(title, (), (), notes),)


def export_data(
    scope: Scope,
    file: Path,
    *,
    format: str | None = None,
    split: str | None = None,
    only: Path | None = None,
) -> RowsWritten:
    """Writes rows of the latest data version to `file`; `Project.export_data` says how."""
    if split not in (None, "train", "validation", "test"):
        raise UsageError("project.bad_split", split=split)
    version = scope.data()
    data = scope.context().dataset(version)
    named = read_ids(only) if only is not None else None
    done = export(data, file, format=format, split=cast("Split | None", split), only=named)
    return RowsWritten(version.id, done.rows, done.format, done.file, done.media, done.config)
