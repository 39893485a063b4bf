"""A search over methods, bases and settings as people see it, and how another process joins one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from feilun.config import ProjectConfig
from feilun.durations import spoken
from feilun.errors import NotFound
from feilun.evaluation.view_search import arm_name, search_sentences, settings_words
from feilun.messages import t
from feilun.project.scope import Report, Scope
from feilun.render.wording import level, metric_name
from feilun.table import Result, Table
from feilun.training.settings import resolve

__all__ = ["SearchView", "join"]

_SHOWN = 10


@dataclass(frozen=True)
class SearchView(Result):
    """What a search of a project tried. `found` holds the ``trials`` in the order in which they
    were begun, the ``winner`` (method, base, settings, those of the task), the ``importance`` of
    each setting of the method that was tried most, the metric (``primary``) and by which rows it
    was measured (``by``: ``validation``, or ``folds`` for the training rows too)."""

    project: str
    found: Mapping[str, Any]
    notes: Sequence[str] = ()

    def tables(self) -> Sequence[Table]:
        found, metric = self.found, self.found["primary"]
        whole = [one for one in found["trials"] if one["state"] == "complete"]
        order = sorted(whole, key=lambda one: one["value"], reverse=found["higher"])
        rows = [
            [
                str(one["number"] + 1),
                arm_name(one),
                t("tune.as_they_stand") if one["default"] else settings_words(one["given"]),
                _score(metric, one),
                spoken(one["seconds"] or 0.0),
            ]
            for one in order[:_SHOWN]
        ]
        columns = [
            t("tune.column_trial"),
            t("tune.column_what"),
            t("tune.column_settings"),
            t("tune.column_score", metric=metric_name(metric)),
            t("tune.column_took"),
        ]
        title = t(
            "tune.title",
            project=self.project,
            trials=len(found["trials"]),
            time=spoken(found["seconds"]),
            rows=found["rows"],
        )
        return (Table(title, columns, rows, [*search_sentences(found), *self.notes]),)


def _score(metric: str, one: Mapping[str, Any]) -> str:
    said = level(metric, one["value"])
    if one["low"] is None or one["high"] is None:
        return said
    return f"{said} ({level(metric, one['low'])}–{level(metric, one['high'])})"


def join(scope: Scope, report: Report | None = None) -> SearchView:
    """Takes part in the search that goes on in the project, until its time is over. Raises
    `NotFound` where there is none."""
    from feilun.pipeline.steps import join as take_part

    runs = scope.store.catalog.runs(scope.name, states=("running",))
    run = next((one for one in runs if one.kind == "tune"), None)
    if run is None:
        raise NotFound("tune.none_going_on", project=scope.called)
    config = ProjectConfig(**run.config)
    methods = resolve(config.training)
    context = replace(
        scope.context(report),
        run_id=run.id,
        config=config,
        method_settings={name: one.model_dump(mode="json") for name, one in methods.items()},
    )
    found = take_part(context)
    note = t("tune.joined", trials=len(found["trials"]))
    return SearchView(scope.called, found, (note,))
