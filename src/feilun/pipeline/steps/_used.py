"""What an evaluation tells beside the tables: why the worst errors came about, and money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from feilun.engines.base import Engine
from feilun.engines.explain import Explanation, explain
from feilun.evaluation.founder import Money
from feilun.evaluation.result import Miss
from feilun.pipeline.context import Context
from feilun.store.records import ModelVersion
from feilun.types import Item

__all__ = ["explained", "money"]


def explained(
    context: Context,
    engine: Engine,
    misses: Sequence[Miss],
    items: Sequence[Item],
    row_ids: Sequence[str],
) -> tuple[Miss, ...]:
    """The surest errors with what spoke for the answer and what for the truth."""
    places = {row: place for place, row in enumerate(row_ids)}
    labels = engine.card.schema.labels
    told = []
    for miss in misses:
        if miss.answer not in labels:  # a label that has been renamed since
            told.append(miss)
            continue
        truth = miss.truth if miss.truth in labels else None
        item = context.task.check(items[places[miss.row_id]])
        why = explain(engine, item, miss.answer, truth)
        told.append(_with(miss, why) if why else miss)
    return tuple(told)


def _with(miss: Miss, why: Explanation) -> Miss:
    weights = [round(weight, 4) for weight in why.weights]
    if why.grid is not None:
        width = why.grid[1]
        starts = range(0, len(weights), width)
        return replace(miss, heat=tuple(tuple(weights[at : at + width]) for at in starts))
    shown = len(miss.text or "")
    spans = why.spans or _lines(miss.text or "", len(weights))
    shades = [
        (start, min(end, shown), weight)
        for (start, end), weight in zip(spans, weights, strict=True)
        if start < shown
    ]
    return replace(miss, shades=tuple(shades))


def _lines(text: str, count: int) -> list[tuple[int, int]]:
    """The places of the first `count` lines: a row is shown one line a column. Those that were cut
    off lie behind its end."""
    spans = []
    start = 0
    for line in text.split("\n")[:count]:
        spans.append((start, start + len(line)))
        start += len(line) + 1
    return spans + [(len(text), len(text))] * (count - len(spans))


def money(context: Context, model: ModelVersion) -> Money | None:
    """What 1,000 answers cost by the chosen variant's measured speed; None before compression."""
    serving = context.config.serving
    rate = model.variants.get(model.variant or "", {}).get("throughput")
    if not rate:
        return None
    cost = serving.machine_per_hour / 3600 / rate * 1000
    return Money(cost, serving.price_per_1000, serving.currency)
