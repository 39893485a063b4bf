"""The closing table: every version on rows that no step has seen before, gains of nil included."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.messages import t
from feilun.project import Project
from feilun.project.results import percent, size
from feilun.table import Result, Table
from feilun.types import Progress

__all__ = ["Closing", "VersionRow", "closing"]


@dataclass(frozen=True)
class VersionRow:
    """One version: accuracy with interval on the unseen rows, milliseconds of one answer, bytes on
    disk, and what 1,000 answers cost at the machine's price an hour."""

    version: str
    method: str
    variant: str | None
    accuracy: dict[str, float]
    latency_ms: float
    bytes: int
    cost_per_1000: float
    currency: str
    live: bool


@dataclass(frozen=True)
class Closing(Result):
    """The table, and the share of the most frequent label: what no model at all would score."""

    rows: Sequence[VersionRow]
    tested: int
    floor: float
    machine_per_hour: float

    def tables(self) -> Sequence[Table]:
        head = ("version", "method", "variant", "accuracy", "latency", "size", "cost_1000")
        shown = [
            [
                row.version + (f" ({t('project.state_live')})" if row.live else ""),
                row.method,
                row.variant or "–",
                percent(row.accuracy),
                f"{row.latency_ms:.1f} ms",
                size(row.bytes),
                f"{_money(row.cost_per_1000)} {row.currency}",
            ]
            for row in self.rows
        ]
        currency = self.rows[0].currency if self.rows else ""
        notes = [
            t("demo.floor", share=100 * self.floor),
            t("demo.cost_note", price=self.machine_per_hour, currency=currency),
        ]
        columns = [t(f"project.{name}") for name in head]
        return (Table(t("demo.closing", rows=self.tested), columns, shown, notes),)


def _money(amount: float) -> str:
    """With two digits that say something, however little it is: ``0.00000076``."""
    places = 2 if amount <= 0 else max(2, 1 - math.floor(math.log10(amount)))
    return f"{amount:.{places}f}"


def closing(
    project: Project, testing: Path, label: str, report: Callable[[Progress], None]
) -> Closing:
    """Evaluates every version of `project` on `testing`, in this process: no row of it passes
    through the API, whose log feeds later versions."""
    import csv
    from collections import Counter

    serving = project.config().serving
    live = project.live
    rows: list[VersionRow] = []
    models = project.models()
    for done, model in enumerate(models):
        report(Progress("closing", done, len(models)))
        measured: dict[str, Any] = dict(model.record.variants.get(model.record.variant or "", {}))
        if not measured:
            continue
        scored = project.evaluate(model.id, on=testing)
        accuracy = scored.metrics["accuracy"]
        assert accuracy is not None
        rows.append(
            VersionRow(
                version=model.id,
                method=model.record.method,
                variant=model.record.variant,
                accuracy=dict(accuracy),
                latency_ms=measured["latency_ms"],
                bytes=measured["bytes"],
                cost_per_1000=serving.machine_per_hour / 3.6 / measured["throughput"],
                currency=serving.currency,
                live=live is not None and live.id == model.id,
            )
        )
    report(Progress("closing", len(models), len(models)))
    with testing.open(encoding="utf-8", newline="") as stream:
        labels = Counter(row[label] for row in csv.DictReader(stream))
    tested = labels.total()
    return Closing(rows, tested, max(labels.values()) / tested, serving.machine_per_hour)
