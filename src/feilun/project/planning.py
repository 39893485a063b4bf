"""What a run would do, before any of it is done: stages with their time and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from feilun.durations import about
from feilun.messages import language, t
from feilun.pipeline.steps.plan import draw
from feilun.project.scope import Report, Scope
from feilun.table import Result, Table

__all__ = ["Planned", "planned", "planned_table"]


@dataclass(frozen=True)
class Planned(Result):
    """What ``run`` would train on `data`: `stages`, each with its ``method``, ``why``, ``seconds``
    and ``memory_bytes``; `words` tell the rows, and what else is to be known. `tells` are
    the smallest gains that the rows which judge can tell; None where that is not known."""

    project: str
    data: str
    stages: Sequence[Mapping[str, Any]]
    words: Sequence[str]
    tells: Mapping[str, Any] | None

    def tables(self) -> Sequence[Table]:
        title = t("runs.plan_title", project=self.project, data=self.data)
        return (replace(_table(self.stages), title=title, notes=self.words),)


_KEPT = ("method", "base_name", "why", "why_in", "seconds", "memory_bytes")


def planned_table(plan: Mapping[str, Any]) -> Table | None:
    """The stages of a run's `plan`, as the catalog keeps it; None before it is made."""
    return _table(plan["rungs"]) if plan.get("rungs") else None


def _table(stages: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [one["method"], _why(one), about(one["seconds"]), f"{one['memory_bytes'] / 2**30:.1f} GiB"]
        for one in stages
    ]
    names = ("method", "why", "time", "memory")
    return Table(t("runs.plan"), [t(f"runs.plan_{name}") for name in names], rows)


def _why(stage: Mapping[str, Any]) -> str:
    said: str = stage.get("why_in", {}).get(language(), stage["why"])
    return said


def planned(scope: Scope, overrides: Mapping[str, Any] | None, report: Report | None) -> Planned:
    """See `Project.plan`."""
    scope.data()
    config, methods = scope.resolved(overrides)
    context = replace(scope.context(report), config=config, method_settings=methods)
    found, words, more = draw(context)
    stages = [{name: stage[name] for name in _KEPT} for stage in found["rungs"]]
    return Planned(scope.called, found["data_version"], stages, [words[0], *more], found["tells"])
