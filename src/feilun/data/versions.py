"""From sources to a data version: checked, without duplicates, divided, and the same every time."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from feilun.config import DataConfig
from feilun.data.outcome import BuildReport
from feilun.data.sources.base import AnySource
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.types import Progress, Split

__all__ = ["MAX_LABELS", "MIN_ROWS", "build"]

MIN_ROWS = 10
"""Different rows that a data version must have: fewer cannot be divided and judged."""
MAX_LABELS = 1000
"""Labels that a data version may have: more is a column of ids or of free text."""


def build(
    sources: Sequence[AnySource],
    *,
    task: TaskBase,
    settings: DataConfig,
    out: Path,
    task_settings: Mapping[str, Any] | None = None,
    previous: Dataset | None = None,
    split: Literal["auto"] | Split = "auto",
    report: Callable[[Progress], None] | None = None,
    exclude: Container[bytes] = frozenset(),
    bad_rows: Path | None = None,
    new_label_rows: int = 1,
) -> BuildReport:
    """Builds the next data version of `sources` and `previous` in the empty folder `out`."""
    raise NotImplementedError
