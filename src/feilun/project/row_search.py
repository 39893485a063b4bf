"""Looking at the rows of a data version: some of them, by what they say and where they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feilun.data.splits import SPLITS
from feilun.errors import UsageError
from feilun.messages import t
from feilun.project.scope import Scope
from feilun.table import Result, Table

__all__ = ["Rows", "search"]

_LENGTH = 200  # characters of an input in a table


@dataclass(frozen=True)
class Rows(Result):
    """Rows of the data version `version` from the `offset`-th match on; `more` follow or not. Each
    has ``row_id``, ``split``, ``label``, ``source`` and ``input``."""

    version: str
    rows: Sequence[Mapping[str, Any]]
    offset: int
    more: bool

    def tables(self) -> Sequence[Table]:
        columns = [t(f"project.{c}") for c in ("split", "label", "input", "source")]
        rows = [
            [t(f"project.split_{r['split']}"), r["label"] or "–", _shown(r["input"]), r["source"]]
            for r in self.rows
        ]
        notes = [] if rows else [t("project.no_such_rows")]
        notes += [t("project.more_rows")] if self.more else []
        return (Table(self.version, columns if rows else (), rows, notes),)


def search(
    scope: Scope,
    text: str,
    *,
    split: str | None,
    label: str | None,
    source: str | None,
    offset: int,
    limit: int,
) -> Rows:
    """See `Project.rows`."""
    if split is not None and split not in SPLITS:
        raise UsageError("project.bad_split", split=split)
    version = scope.data()
    found, more = (
        scope.context()
        .dataset(version)
        .search(
            text,
            split=split,
            label=label,
            source=source,
            offset=offset,
            limit=limit,
        )
    )
    rows = [
        {
            "row_id": one.row_id,
            "split": one.split,
            "label": one.label,
            "source": one.source,
            "input": one.item,
        }
        for one in found
    ]
    return Rows(version.id, rows, offset, more)


def _shown(item: Any) -> str:
    if isinstance(item, bytes):
        return t("project.bytes", count=len(item))
    if isinstance(item, Mapping):
        item = "; ".join(f"{name} {_shown(value)}" for name, value in item.items())
    text = " ".join(str(item).split())
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"
