"""What backups of SQLite and of PostgreSQL have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["BackupInfo", "Dump", "TableFile"]


@dataclass(frozen=True)
class BackupInfo:
    """What a backup holds. `bytes` counts all of it, artifacts that are only linked too."""

    created: str
    database: Literal["sqlite", "postgresql"]
    artifacts: int
    inputs: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TableFile:
    """The rows of one table of a PostgreSQL, in the text format of COPY."""

    schema: str
    table: str
    columns: Sequence[str]
    file: str


@dataclass(frozen=True, slots=True)
class Dump:
    """Copied databases, and the artifacts (`refs`) and inputs (hashes) that they refer to."""

    refs: set[str]
    inputs: set[str]
    tables: Sequence[TableFile] = field(default=())
