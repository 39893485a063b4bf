"""How long trainings took in this workspace, against what was estimated."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from feilun.store.catalog import Catalog
from feilun.store.records import StepRun
from feilun.training.replan import shortened

__all__ = ["paces"]

_RUNS = 20
"""Newest runs that are looked at."""
_NEWEST = 5
"""Trainings of a method that count: neighbours of the machine change."""
_FURTHEST = 10.0


def paces(catalog: Catalog, cores: int) -> dict[str, float]:
    """The median of taken over estimated seconds of each method's newest trainings on as many
    `cores`. Those that a clock ended or whose weights were there before say nothing."""
    found: dict[str, list[float]] = defaultdict(list)
    for run in catalog.runs(limit=_RUNS):
        if run.plan.get("machine", {}).get("cores") != cores:
            continue
        steps = {step.step: step for step in catalog.steps(run.id)}
        for stage in run.plan.get("rungs", ()):
            step = steps.get(f"train:{stage['method']}")
            if step is None or not stage.get("estimated") or len(found[stage["method"]]) >= _NEWEST:
                continue
            taken = _taken(step)
            if taken is not None:
                found[stage["method"]].append(taken / stage["estimated"])
    return {
        method: min(_FURTHEST, max(1 / _FURTHEST, median(ratios)))
        for method, ratios in found.items()
        if ratios
    }


def _taken(step: StepRun) -> float | None:
    """Seconds of a training that was made to its end in this step."""
    figures = step.result.get("figures", {})
    resumed = figures.get("resumed_from_step")
    if step.finished is None or step.result.get("again") or shortened(figures) or resumed:
        return None
    taken = (step.finished - step.started).total_seconds()
    return taken if taken >= figures.get("seconds", float("inf")) else None
