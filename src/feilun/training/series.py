"""The rows of a data version as series: what all methods that forecast begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from feilun.engines._error_levels import Levels
from feilun.engines.card import Card, write_card
from feilun.engines.forecasts import covariates, forecaster, write_series
from feilun.errors import InvalidData
from feilun.messages import t
from feilun.modalities.series.state import Built, SeriesState, build_series
from feilun.modalities.series.task import SERIES, TIME
from feilun.modalities.table.features import TableFeatures
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training.job import TrainJob
from feilun.training.rows import schema_of, start_card
from feilun.types import Schema

__all__ = ["Prepared", "no_series", "prepare", "write_version"]

_LEAST = 8
"""Training values that some series must have."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What `prepare` made: the `built` series, how covariates become numbers (None without any),
    the `schema` of the version, `notes` on what was found and mended, in the language in force, and
    the places of the values that `validation` rows hold."""

    built: Built
    beside: TableFeatures | None
    schema: Schema
    notes: tuple[str, ...]
    validation: np.ndarray

    @property
    def state(self) -> SeriesState:
        """The history."""
        return self.built.state


def no_series(task: TaskBase) -> str | None:
    """Why a method that forecasts cannot learn `task`; None where it can."""
    if task.family.name == "forecasts":
        return None
    return t("training.reason_no_answer", task=task.name)


def prepare(job: TrainJob, dataset: Dataset) -> Prepared:
    """All rows of the data version on their grid. Frequency, season and horizon are those of the
    task's settings, or found. Raises `InvalidData` where too little is there to learn from."""
    schema = schema_of(job, dataset)
    task = tasks.of(schema)
    names: list[str] = []
    times: list[float] = []
    values: list[float] = []
    splits: list[str] = []
    items: list[Any] = []
    for example in dataset.examples():
        place = task.ordered(example.item)
        if place is None or example.label is None:
            continue
        names.append(place[0])
        times.append(place[1])
        values.append(float(example.label))
        splits.append(example.split)
        items.append(example.item)
    if not names:
        raise InvalidData("training.no_rows", folder=dataset.folder)
    trained = np.array([split == "train" for split in splits], bool)
    beside = _beside(task, [item for item, yes in zip(items, trained, strict=True) if yes])
    settings = schema.settings
    built = build_series(
        names,
        np.array(times),
        np.array(values),
        trained,
        dated=dict(settings["inputs"])[TIME] == "date",
        covariates=covariates(beside, items),
        frequency=settings.get("frequency"),
        season=settings.get("season"),
        horizon=settings.get("horizon"),
    )
    most = int(np.minimum(built.state.anchors, built.state.lengths).max())
    if most < _LEAST:
        raise InvalidData("forecasts.too_short", values=most, least=_LEAST)
    chosen = np.array([split == "validation" for split in splits], bool)
    places = np.unique(built.places[chosen])
    return Prepared(built, beside, schema, tuple(_notes(built)), places)


def write_version(job: TrainJob, found: Prepared, model: str, settings: Mapping[str, Any]) -> None:
    """The history, how much the version errs of late, and its card. What was learnt is the caller's
    to write, before this."""
    write_series(job.out, found.state, found.beside)
    card = start_card(job, "forecasts", found.schema, settings)
    card = replace(card, extra={"model": model})
    _levels(job, found, card).save(job.out)
    write_card(job.out, card)


def _levels(job: TrainJob, found: Prepared, card: Card) -> Levels:
    """The levels of the errors at all origins, from what is forecast of the values that no training
    row holds; usual is the mean error of the validation rows."""
    state = found.state
    known = np.zeros(len(state.values), bool)
    known[found.built.places] = True
    series = np.repeat(np.arange(len(state.names)), state.lengths)
    steps = np.arange(len(state.values)) - state.begins[series]
    places = np.flatnonzero(known & (steps >= np.maximum(state.anchors[series], 1)))
    errors = np.full(len(state.values), np.nan)
    series, steps = series[places], steps[places]
    forecast = forecaster(job.out, card, state)
    origins = state.origins(series, steps)
    said = forecast(state, series, steps, origins, state.covariates[places])
    errors[places] = np.abs(state.values[places] - said) / state.scales[series]
    judged = errors[found.validation]
    judged = judged[~np.isnan(judged)]
    return Levels.of(state, errors, float(judged.mean()) if len(judged) else 0.0)


def _beside(task: TaskBase, items: Sequence[Any]) -> TableFeatures | None:
    columns = [(c.name, c.kind) for c in task.columns if c.name not in (SERIES, TIME)]
    return TableFeatures(columns).fit(items) if columns else None


def _notes(built: Built) -> list[str]:
    """What was found, and what was done about rows that fit no grid."""
    state = built.state
    season = t("forecasts.no_season")
    if state.season > 1:
        season = t("forecasts.season", steps=state.season)
    notes = [
        t(
            "forecasts.found",
            series=len(state.names),
            frequency=state.frequency.words(),
            season=season,
            horizon=state.horizon,
        )
    ]
    if built.gaps:
        notes.append(t("forecasts.gaps", steps=built.gaps, of=len(state.values)))
    if built.doubled:
        notes.append(t("forecasts.doubled", rows=built.doubled))
    if built.off:
        notes.append(t("forecasts.off_grid", rows=built.off))
    if built.short:
        notes.append(t("forecasts.short", series=built.short))
    return notes
