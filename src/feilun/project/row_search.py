"""Looking at the rows of a data version: some of them, by what they say and where they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from feilun.data.splits import SPLITS
from feilun.errors import UsageError
from feilun.messages import t
from feilun.project.scope import Scope
from feilun.project.suspected import Suspicion, suspected
from feilun.table import Result, Table

__all__ = ["Rows", "search", "shown_input"]

_LENGTH = 200  # characters of an input in a table


@dataclass(frozen=True)
class Rows(Result):
    """Rows of the data version `version` from the `offset`-th match on; `more` follow or not. Each
    has ``row_id``, ``split``, ``label``, ``source``, ``subject`` (whose it is) and ``input``; of
    those that are `suspect` also ``suggested``, the label that fits better, and its ``margin``."""

    version: str
    rows: Sequence[Mapping[str, Any]]
    offset: int
    more: bool
    suspect: bool = False

    def tables(self) -> Sequence[Table]:
        names = ["split", "label", *(["suggested", "margin"] if self.suspect else [])]
        named = ["subject"] if any(row["subject"] for row in self.rows) else []
        columns = [t(f"project.{c}") for c in (*names, "input", *named, "source")]
        rows = [
            [
                t(f"project.split_{r['split']}"),
                r["label"] or "–",
                *([r["suggested"], f"{r['margin']:.2f}"] if self.suspect else []),
                shown_input(r["input"]),
                *(r["subject"] or "–" for _ in named),
                r["source"],
            ]
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
    suspect: bool,
    offset: int,
    limit: int,
) -> Rows:
    """See `Project.rows`."""
    if split is not None and split not in SPLITS:
        raise UsageError("project.bad_split", split=split)
    version = scope.data()
    doubted = suspected(scope) if suspect else {}
    find = partial(
        scope.context().dataset(version).search, text, split=split, label=label, source=source
    )
    if suspect:
        order = {row: place for place, row in enumerate(doubted)}
        everything, _ = find(rows=doubted, limit=len(doubted))
        everything.sort(key=lambda one: order[one.row_id])
        found, more = everything[offset : offset + limit], len(everything) > offset + limit
    else:
        found, more = find(offset=offset, limit=limit)
    rows = [
        {
            "row_id": one.row_id,
            "split": one.split,
            "label": one.label,
            "source": one.source,
            "subject": one.subject,
            "input": one.item,
            **(_doubt(doubted[one.row_id]) if suspect else {}),
        }
        for one in found
    ]
    return Rows(version.id, rows, offset, more, suspect)


def _doubt(one: Suspicion) -> dict[str, Any]:
    return {"suggested": one.suggested, "margin": one.margin}


def shown_input(item: Any) -> str:
    """An input in a cell of a table: one line, cut."""
    if isinstance(item, bytes):
        return t("project.bytes", count=len(item))
    if isinstance(item, Mapping):
        item = "; ".join(f"{name} {shown_input(value)}" for name, value in item.items())
    text = " ".join(str(item).split())
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"
