"""A scorecard of two labels: columns in bins, a logistic regression over them, and its weights as
whole points that can be added up by hand.

The usual way of banks (Siddiqi, "Credit Risk Scorecards", 2006): a bin is worth the log-odds of the
label in it (weight of evidence), the regression weighs columns, columns that say next to nothing or
would count against what they show are left out. `pdo` points double the odds. The version answers
by the rounded points, so that the printed card and the API never differ.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from pydantic import Field

from feilun.engines.card import write_card
from feilun.engines.scorecard import SCORECARD, Bin, Scorecard, Scored, days
from feilun.errors import InvalidData, InvalidSettings
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import logistic
from feilun.training.binning import Binned, categories, numbers
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import all_rows, drawn, schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Item, Progress

__all__ = ["Settings", "estimate", "least_rows", "needs_base", "needs_torch", "on_request", "order",
           "supports", "train"]  # fmt: skip

order = 1
needs_base = False
needs_torch = False
least_rows = 200
on_request = True
"""A card is asked for by those who need one; others are better served by trees."""

_PAGE, _TABLE = "scorecard.html", "scorecard.csv"
_STRENGTHS = (0.3, 1.0, 3.0, 10.0)


class Settings(MethodSettings):
    """``[training.scorecard]``."""

    label: str = Field(
        "", description="label that more points speak for; by default the more frequent one"
    )
    pdo: float = Field(20.0, gt=0, description="points that double the odds of the label")
    base_score: float = Field(600.0, description="points that stand for the odds base_odds")
    base_odds: float = Field(50.0, gt=0, description="odds of the label at base_score points")
    bins: int = Field(6, ge=2, le=50, description="bins of a column at most")
    bin_share: float = Field(
        0.03, gt=0, lt=0.5, description="share of the rows that a bin must have"
    )
    information: float = Field(
        0.02, ge=0, description="information value below which a column is left out"
    )
    monotone: dict[str, int] = Field(
        default_factory=dict,
        description="columns whose growth may only raise (1) or only lower (-1) the number, or the "
        "chance of the second of two labels",
    )
    max_rows: int = Field(
        1_000_000, ge=100, description="training rows used at most, drawn by the seed"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Tables alone, into classes."""
    if task.modality != "table":
        return t("training.reason_no_table", task=task.name)
    return None if task.family.name == "classes" else t("training.reason_no_answer", task=task.name)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """From rows and columns: a small tree of each column, and a regression over all."""
    columns = max(1, len(tasks.get(job.task).bound(job.task_settings).columns))
    used = min(rows.train, settings.max_rows)
    detail = {"rows": used, "columns": columns}
    return Estimate(int(200e6 + used * columns * 48), 1.0 + used * columns * 4e-6, detail)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `scorecard` version, with the card as a page and as a table beside it. An update
    makes a new card of all rows. Raises `InvalidSettings` for labels that are not two, and
    `InvalidData` where no column says anything."""
    start = perf_counter()
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    rows, notes = drawn(all_rows(dataset), settings.max_rows, job.seed)
    if len(schema.labels) != 2:
        raise InvalidSettings("training.scorecard_two_labels", labels=len(schema.labels))
    place = _place(settings.label, schema.labels, rows.labels)
    has = (rows.labels == place).astype(np.float64)
    columns = [(c.name, c.kind) for c in tasks.of(schema).columns]
    _check_monotone(settings.monotone, columns)
    binned: dict[str, Binned] = {}
    for done, (name, kind) in enumerate(columns):
        report(Progress("train", done, len(columns), "columns", note=t("training.note_binning")))
        if kind in ("number", "category", "date"):
            way = settings.monotone.get(name, 0) * (1 if place == 1 else -1)
            found = _binned(_cells(rows.items, name), kind, has, way, settings)
            if found.information >= settings.information:
                binned[name] = found
    weights, intercept = _weigh(binned, rows.labels, place, job.seed)
    if not weights:
        raise InvalidData("training.scorecard_nothing", columns=[name for name, _ in columns][:20])
    left = [name for name, _ in columns if name not in weights]
    if left:
        notes.append(t("training.note_scorecard_left_out", columns=left[:20]))
    kinds = dict(columns)
    labels = schema.labels[place], schema.labels[1 - place]
    card = _card(binned, weights, intercept, kinds, labels, settings)
    _write(card, job.out)
    write_card(job.out, start_card(job, "scorecard", schema, settings.model_dump()))
    figures = {
        "seconds": perf_counter() - start,
        "rows": float(len(rows)),
        "columns": float(len(card.columns)),
    }
    return TrainResult(figures, tuple(notes))


def _place(label: str, labels: Sequence[str], truth: np.ndarray) -> int:
    if label and label not in labels:
        raise InvalidSettings(
            "verdict.unknown_label",
            setting="training.scorecard.label",
            label=label,
            options=list(labels),
        )
    return list(labels).index(label) if label else int(np.bincount(truth, minlength=2).argmax())


def _check_monotone(wanted: Mapping[str, int], columns: Sequence[tuple[str, str]]) -> None:
    known = [name for name, kind in columns if kind in ("number", "date")]
    faults = [
        f"training.scorecard.monotone.{name} = {way}"
        for name, way in wanted.items()
        if name not in known or way not in (-1, 0, 1)
    ]
    if faults:
        raise InvalidSettings("training.monotone", faults=faults, options=known[:20])


def _cells(items: Sequence[Item], name: str) -> list[Any]:
    return [item.get(name) if isinstance(item, Mapping) else item for item in items]


def _binned(values: list[Any], kind: str, has: np.ndarray, way: int, settings: Settings) -> Binned:
    least = max(10, round(settings.bin_share * len(has)))
    if kind == "category":
        return categories(values, has, most=settings.bins, least=least)
    known = [np.nan if one is None else days(one) if kind == "date" else one for one in values]
    return numbers(np.array(known, np.float64), has, most=settings.bins, least=least, monotone=way)


def _weigh(
    binned: Mapping[str, Binned], labels: np.ndarray, place: int, seed: int
) -> tuple[dict[str, float], float]:
    """The weight of each column's evidence, and the intercept. A column whose weight is not above
    0 would turn its own evidence round; it is left out, the worst first."""
    names = list(binned)
    while names:
        matrix = np.column_stack([binned[name].scores for name in names]).astype(np.float32)
        nobody = (matrix[:0], labels[:0])
        fitted = logistic.fit(matrix, labels, 2, nobody, strengths=_STRENGTHS, seed=seed)
        weights = fitted.coef[place] - fitted.coef[1 - place]
        if weights.min() > 0:
            intercept = float(fitted.intercept[place] - fitted.intercept[1 - place])
            return dict(zip(names, weights.tolist(), strict=True)), intercept
        names.pop(int(weights.argmin()))
    return {}, 0.0


def _card(
    binned: Mapping[str, Binned],
    weights: Mapping[str, float],
    intercept: float,
    kinds: Mapping[str, str],
    labels: tuple[str, str],
    settings: Settings,
) -> Scorecard:
    """The points: of each column the worst value has 0, the base takes what is taken off."""
    plain = Scorecard(*labels, 0, settings.pdo, settings.base_score, settings.base_odds, columns=())
    base, columns = plain.offset + plain.factor * intercept, []
    for name, weight in weights.items():
        one = binned[name]
        exact = plain.factor * weight * np.append(one.weights, one.missing)
        least = float(exact.min())
        base += least
        points = np.round(exact - least).astype(int).tolist()
        bins = []
        for place, (count, labelled) in enumerate(one.counts.tolist()):
            share = labelled / count if count else 0.0
            ends = [*one.ends, None, None] if not one.groups else [None] * len(points)
            groups = [*one.groups, None, None] if one.groups else [None] * len(points)
            bins.append(Bin(points[place], int(count), round(share, 6), ends[place], groups[place]))
        kind, information = kinds[name], round(one.information, 4)
        columns.append(Scored(name, kind, information, tuple(bins[:-1]), bins[-1]))
    columns.sort(key=lambda one: -one.information)
    return Scorecard(
        *labels,
        round(base),
        settings.pdo,
        settings.base_score,
        settings.base_odds,
        columns=tuple(columns),
    )


def _write(card: Scorecard, folder: Path) -> None:
    text = json.dumps(card.to_json(), ensure_ascii=False, indent=1)
    (folder / SCORECARD).write_text(text + "\n", "utf-8")
    lines = [line for column in card.columns for line in lines_of(column)]
    with (folder / _TABLE).open("w", newline="", encoding="utf-8-sig") as file:
        out = csv.writer(file)
        out.writerow(["column", "value", "points", "rows", f"share {card.label}"])
        out.writerow(["", "", card.base, "", ""])
        out.writerows(lines)
    from feilun.render.bilingual import say
    from feilun.render.page import template

    page = template("scorecard.html", "feilun.training").render(
        card=card, lines=lines_of, say=say, lang="en"
    )
    (folder / _PAGE).write_text(page, "utf-8")


def lines_of(column: Scored) -> list[tuple[str, str, int, int, float]]:
    """The lines of a column: its name, the values in words, points, rows and the label's share."""
    found, begin = [], None
    for one in column.bins:
        if column.kind == "category":
            said = ", ".join(one.values) if one.values else "*"
        else:
            said = _between(begin, one.below, column.kind)
            begin = one.below
        found.append((said, one))
    found.append(("–", column.missing))
    return [(column.name, said, one.points, one.rows, round(one.share, 4)) for said, one in found]


def _between(begin: float | None, end: float | None, kind: str) -> str:
    def said(value: float) -> str:
        if kind == "date":
            return str(np.datetime64(int(value), "D"))
        return f"{value:.12g}"

    if begin is None:
        return "*" if end is None else f"< {said(end)}"
    return f"≥ {said(begin)}" if end is None else f"{said(begin)} – < {said(end)}"
