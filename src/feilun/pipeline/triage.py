"""Feedback triaged against the data version that it would join."""

from __future__ import annotations

from collections import Counter
from typing import Any

from feilun.data.content import content_key, stored_key
from feilun.feedback.to_data import Unit
from feilun.feedback.triage import Known, Triaged, triage
from feilun.pipeline.context import Context
from feilun.store.dataset import INPUT
from feilun.store.records import DataVersion
from feilun.tasks.base import TaskBase
from feilun.types import Item

__all__ = ["told", "triaged"]


def triaged(context: Context, data: DataVersion | None) -> Triaged:
    """What of the feedback that waits may join `data` (None: the first rows there will be), what is
    held for review, what waits on."""
    return triage(
        context.store.ledger,
        context.project,
        max_share=context.config.feedback.max_share,
        floor=context.config.update.min_corrections,
        train_rows=sum(data.counts.get("train", {}).values()) if data else 0,
        known=_known(context, data) if data else lambda item: None,
        unit=_unit(context.task),
    )


def _unit(task: TaskBase) -> Unit:
    if task.observations:
        return "answer"
    return "target" if task.family.several_right else "input"


def _known(context: Context, data: DataVersion) -> Known:
    """Looks contents up among the rows of `data`; holds only the rows that feedback speaks of."""
    said = context.store.ledger.feedback(context.project, unused_only=True)
    wanted = {content_key(one.prediction.input) for one in said}
    rows: dict[bytes, tuple[str, str, str]] = {}
    if wanted:
        dataset = context.dataset(data)
        kinds = list(dataset.columns.items())
        columns = ["label", "source", "subject", *(INPUT + name for name, _ in kinds)]
        for batch in dataset.batches(columns):
            held = [column.to_pylist() for column in batch.columns]
            for label, source, subject, *values in zip(*held, strict=True):
                key = stored_key(kinds, values)
                if key in wanted and label is not None:
                    rows[key] = (label, source, subject)

    def known(item: Item) -> tuple[str, str, str] | None:
        return rows.get(content_key(item))

    return known


def told(context: Context, found: Triaged) -> dict[str, Any]:
    """What was held back as JSON values: customers by name, keys by their visible beginning."""
    catalog = context.store.catalog
    names = {one.id: one.name for one in catalog.customers()}
    prefixes = {one.id: one.prefix for one in catalog.keys(None)}
    held = Counter(one.reason for one in found.held)
    of_key = Counter(one.suspect for one in found.held if one.suspect is not None)
    return {
        "held": {reason: held[reason] for reason in sorted(held)},
        "suspects": [
            {
                "customer": names.get(one.customer or "", one.customer or ""),
                "key": prefixes.get(one.key_id or "", ""),
                "why": one.why,
                "held": of_key[one],
                "count": one.count,
                "of": one.of,
                "expected": one.expected,
                "chance": one.chance,
            }
            for one in found.suspects
        ],
        "over": {names.get(who, who): rows for who, rows in found.over.items()},
    }
