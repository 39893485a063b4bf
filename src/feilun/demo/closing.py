"""The closing table: every version on rows that no step has seen before, gains of nil included."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.messages import t
from feilun.metrics.comparison import values
from feilun.project import Project
from feilun.project.results import scored, size
from feilun.render import wording
from feilun.table import Result, Table
from feilun.types import Example, Progress

__all__ = ["Closing", "VersionRow", "closing"]


@dataclass(frozen=True)
class VersionRow:
    """One version: its score with interval on the unseen rows, milliseconds of one answer, bytes on
    disk, and what 1,000 answers cost at the machine's price an hour."""

    version: str
    method: str
    variant: str | None
    score: dict[str, float] | None
    latency_ms: float
    bytes: int
    cost_per_1000: float
    currency: str
    live: bool


@dataclass(frozen=True)
class Closing(Result):
    """The table of scores by `metric`, and what the best constant answer scores, where the family
    has such a thing: the `floor` under any model."""

    rows: Sequence[VersionRow]
    tested: int
    metric: str
    floor: float | None
    machine_per_hour: float

    def tables(self) -> Sequence[Table]:
        head = ("version", "method", "variant", "", "latency", "size", "cost_1000")
        shown = [
            [
                row.version + (f" ({t('project.state_live')})" if row.live else ""),
                row.method,
                row.variant or "–",
                scored(self.metric, row.score),
                f"{row.latency_ms:.1f} ms",
                size(row.bytes),
                f"{_money(row.cost_per_1000)} {row.currency}",
            ]
            for row in self.rows
        ]
        currency = self.rows[0].currency if self.rows else ""
        notes = [t("demo.cost_note", price=self.machine_per_hour, currency=currency)]
        if self.floor is not None:
            notes.insert(0, t("demo.floor", value=wording.level(self.metric, self.floor)))
        name = wording.metric_name(self.metric)
        name += ", %" if wording.is_share(self.metric) else ""
        columns = [t(f"project.{one}") if one else name for one in head]
        return (Table(t("demo.closing", rows=self.tested), columns, shown, notes),)


def _money(amount: float) -> str:
    """With two digits that say something, however little it is: ``0.00000076``."""
    places = 2 if amount <= 0 else max(2, 1 - math.floor(math.log10(amount)))
    return f"{amount:.{places}f}"


def closing(
    project: Project, testing: Path, examples: Sequence[Example], report: Callable[[Progress], None]
) -> Closing:
    """Evaluates every version of `project` on `testing`, whose rows are `examples`, in this
    process: no row of it passes through the API, whose log feeds later versions."""
    serving, metric = project.config().serving, project.task.primary
    live = project.live
    rows: list[VersionRow] = []
    models = project.models()
    for done, model in enumerate(models):
        report(Progress("closing", done, len(models)))
        measured: dict[str, Any] = dict(model.record.variants.get(model.record.variant or "", {}))
        if not measured:
            continue
        score = project.evaluate(model.id, on=testing).metrics[metric]
        rows.append(
            VersionRow(
                version=model.id,
                method=model.record.method,
                variant=model.record.variant,
                score=dict(score) if score else None,
                latency_ms=measured["latency_ms"],
                bytes=measured["bytes"],
                cost_per_1000=serving.machine_per_hour / 3.6 / measured["throughput"],
                currency=serving.currency,
                live=live is not None and live.id == model.id,
            )
        )
    report(Progress("closing", len(models), len(models)))
    floor = _floor(project, examples, metric)
    return Closing(rows, len(examples), metric, floor, serving.machine_per_hour)


def _floor(project: Project, examples: Sequence[Example], metric: str) -> float | None:
    context = project.scope.context()
    data = context.store.catalog.latest_data(project.name)
    assert data is not None
    labels, family = context.dataset(data).schema.labels, project.task.family
    constant = family.constant(data.counts.get("train", {}), labels, len(examples))
    if constant is None:
        return None
    truth = family.truth([one.label for one in examples], labels)
    known = family.known(truth)
    measured = family.measured(truth[known], constant.raw[known], labels, constant.point)
    return values(measured)[metric]
