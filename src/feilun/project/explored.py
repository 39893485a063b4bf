"""What ``compress --explore`` found: as a table, as JSON and as a picture, which are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from feilun.messages import Language, language, t
from feilun.messages.sentences import from_kept
from feilun.project.results import scored, size
from feilun.render.frontier import frontier_plot
from feilun.render.wording import amount, is_share, metric_name, signed
from feilun.table import Result, Table

__all__ = ["Frontier", "keep", "kept"]

_FOLDER, _NAME = "frontier", "frontier"


@dataclass(frozen=True)
class Frontier(Result):
    """All measured variants and cascades of a project, the cheapest first (`Point.to_json`); the
    `chosen` one is the variant of its `version` now. `folder` has the table and the picture."""

    project: str
    version: str
    chosen: str
    metric: str
    rows: int
    currency: str
    points: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    folder: Path

    def tables(self) -> Sequence[Table]:
        columns = [
            t("project.variant"),
            metric_name(self.metric),
            t("project.lost"),
            t("project.cost_of_1000", currency=self.currency),
            t("project.throughput"),
            t("project.latency"),
            t("project.size"),
        ]
        counted = any(one["joules"] is not None for one in self.points)
        columns += [t("project.joules")] if counted else []
        rows = []
        for one in self.points:
            mark = " ✓" if one["chosen"] else " ●" if one["frontier"] else ""
            row = [
                f"{one['name']}{mark}",
                scored(self.metric, one["score"]),
                signed(self.metric, one["loss"]["value"]),
                amount(one["cost"]),
                f"{one['throughput']:,.0f}/s",
                f"{one['latency_ms']:.1f} ms",
                size(one["bytes"]),
            ]
            if counted:
                row.append("–" if one["joules"] is None else amount(one["joules"]))
            rows.append(row)
        told = [
            t("project.frontier_point", name=one["name"], words=one["note"])
            for one in self.points
            if one["note"]
        ]
        notes = [
            t("project.frontier_chosen", name=self.chosen, version=self.version),
            t("project.frontier_marks"),
            *told,
            *self.notes,
            t("project.frontier_kept", folder=self.folder),
        ]
        title = t("project.frontier_title", project=self.project, rows=self.rows)
        return (Table(title, columns, rows, notes),)

    def picture(self, lang: Language) -> Markup:
        """The points by cost and score, as SVG that needs no style sheet."""
        return frontier_plot(
            self.points,
            across={lang: t("project.cost_of_1000", lang, currency=self.currency)},
            up={lang: metric_name(self.metric, lang)},
            percent=is_share(self.metric),
            alone=True,
        )


def keep(project: str, folder: Path, found: Mapping[str, Any]) -> Frontier:
    """Writes table and picture of what the step `found` into ``frontier`` of the project's
    `folder`."""
    out = folder / _FOLDER
    out.mkdir(exist_ok=True)
    result = Frontier(
        project,
        found["version"],
        found["chosen"],
        found["metric"],
        found["rows"],
        found["currency"],
        [{**one, "note": from_kept(one["note"])} for one in found["points"]],
        found["notes"],
        out,
    )
    (out / f"{_NAME}.svg").write_text(f"{result.picture(language())}\n", "utf-8")
    plain = json.dumps(result.to_json(), ensure_ascii=False, indent=2)
    (out / f"{_NAME}.json").write_text(plain + "\n", "utf-8")
    (out / f"{_NAME}.txt").write_text(_text(result.tables()[0]), "utf-8")
    return result


def kept(folder: Path) -> Frontier | None:
    """What `keep` wrote last into the project's `folder`; None before the first."""
    try:
        found = json.loads((folder / _FOLDER / f"{_NAME}.json").read_bytes())
    except FileNotFoundError:
        return None
    return Frontier(**{**found, "folder": Path(found["folder"])})


def _text(table: Table) -> str:
    """The table with aligned columns."""
    lines = [list(table.columns), *(list(row) for row in table.rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(table.columns))]
    told = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, "", *told, "", *table.notes]) + "\n"
