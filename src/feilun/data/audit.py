"""A look at the data before anything is learnt from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feilun import messages
from feilun.data.outcome import Notice, SourceReport
from feilun.data.sources.base import Source
from feilun.store.dataset import Dataset
from feilun.tasks.base import Processor, TaskBase

__all__ = ["Audit", "LabelRow", "audit", "audit_source"]


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label: its rows in all and by split, their share of the labelled rows, the median
    length of their inputs, and one short example."""

    label: str
    rows: int
    share: float
    splits: Mapping[str, int]
    median_length: float
    example: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What a look at the data found.

    `lengths` and `tokens` are ``{"min", "p50", "mean", "p90", "p99", "max"}``, of characters for
    texts and of bytes for media; `tokens` is None without a processor and counts what it keeps.
    `truncated` is the share of rows that the processor cuts. `chinese` is the share of Chinese
    letters among all letters. `duplicates` counts rows whose content came before, `conflicts`
    contents with more than one label, `empty` rows with nothing in them.
    """

    rows: int
    labels: tuple[LabelRow, ...]
    splits: Mapping[str, int]
    lengths: Mapping[str, float]
    tokens: Mapping[str, float] | None
    truncated: float | None
    chinese: float
    duplicates: int
    conflicts: int
    empty: int
    bad: int
    sources: tuple[SourceReport, ...] = ()
    warnings: tuple[Notice, ...] = field(default=())

    def to_json(self, lang: messages.Language | None = None) -> dict[str, Any]:
        """Everything as JSON values; warnings as sentences in `lang`."""
        raise NotImplementedError


def audit(data: Dataset, *, processor: Processor | None = None) -> Audit:
    """Looks at a data version. Tokens are counted when `processor` is given."""
    raise NotImplementedError


def audit_source(source: Source, *, task: TaskBase, processor: Processor | None = None) -> Audit:
    """Looks at a file before it is added; nothing is written."""
    raise NotImplementedError
