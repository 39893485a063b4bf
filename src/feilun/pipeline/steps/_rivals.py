"""What a candidate is compared with, as it is served, and what it saves of what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from time import perf_counter

import numpy as np

from feilun.compression import measure
from feilun.compression.measure import Sample
from feilun.engines.base import Engine, open_engine
from feilun.evaluation.result import Evaluation, Role, Saving
from feilun.pipeline.context import Context
from feilun.pipeline.steps._judged import spared
from feilun.store.best import best_ever, key
from feilun.store.records import Deployment, ModelVersion
from feilun.training.settings import methods_for
from feilun.types import Item

__all__ = ["best_artifact", "called", "lowest", "reigns", "rivals", "saving", "since_best"]


def lowest(context: Context, name: str) -> bool:
    """Whether nothing cheaper than this method is there to be compared with."""
    return name == methods_for(context.task)[0]


def rivals(
    context: Context, model: ModelVersion, baseline: str | None, below: str | None
) -> dict[Role, ModelVersion]:
    """The versions in their roles. What is or was live is meant as it was served: a version's
    chosen variant may have changed since, and another variant of `model` itself is a rival, too."""
    catalog = context.store.catalog
    live = catalog.live(catalog.project(context.project).endpoint)
    if baseline is None and not lowest(context, model.method):
        first = methods_for(context.task)[0]
        linear = [v for v in catalog.model_versions(context.project) if v.method == first]
        usable = [v for v in linear if v.artifact() and not v.pruned and v.state != "failed"]
        baseline = usable[-1].id if usable else None
    chosen: dict[Role, ModelVersion] = {}
    if live is not None and _another(model, live):
        chosen["live"] = _served(context, live)
    best = _best(context)
    apart = live is not None and best is not None and best.artifact != live.artifact
    if best is not None and apart and _another(model, best) and _there(context, best):
        chosen["best"] = _served(context, best)
    for role, name in (("below", below), ("baseline", baseline)):
        if name is not None and name != model.id:
            chosen[role] = catalog.model_version(name)  # type: ignore[index]
    return chosen


def best_artifact(context: Context) -> str | None:
    """What was served of the best version that was ever live, as decisions name it; None before any
    was."""
    best = _best(context)
    return key(best.artifact) if best is not None else None


def called(model: ModelVersion, other: ModelVersion) -> str:
    """The name of the rival `other`: with its variant where it is of the same version."""
    return other.id if other.id != model.id else f"{other.id} {other.variant or other.method}"


def reigns(context: Context, model: ModelVersion) -> bool:
    """Whether this very variant of `model` is live."""
    live = context.store.catalog.live(context.store.catalog.project(context.project).endpoint)
    return live is not None and live.version == model.id and not _another(model, live)


def since_best(context: Context) -> frozenset[str]:
    """The best version that was ever live, and those that were live after it; none where it is
    live now."""
    catalog = context.store.catalog
    endpoint = catalog.project(context.project).endpoint
    best, live = _best(context), catalog.live(endpoint)
    if best is None or live is None or best.artifact == live.artifact:
        return frozenset()
    later = [one for one in catalog.history(endpoint) if one.role == "live" and one.id >= best.id]
    return frozenset(one.version for one in later)


def saving(
    context: Context,
    found: Evaluation,
    engine: Engine,
    live: ModelVersion | None,
    items: Sequence[Item],
) -> Saving | None:
    """What `engine` saves of the cost of the `live` version's answers, both timed in turns on the
    test rows; None where a gain is expected anyway, or the loss is not shown to be within the
    margin: then it makes no difference."""
    beside = found.against("live")
    best = _best(context)
    if live is None or beside is None or beside.gains or not found.within:
        return None
    if best is not None and not _there(context, best):
        return None  # nobody can tell any more what was lost since
    if found.answered_here is not None or not context.config.serving.machine_per_hour:
        return None
    part = [items[place] for place in spared(engine, min(len(items), measure.ROWS)).tolist()]
    rows = Sample([""] * len(part), part, np.zeros(len(part)))
    with closing(open_engine(context.folder(live))) as other:
        engines: Mapping[str, Engine] = {"candidate": engine, "live": other}
        if any(one.info.get("remote") for one in engines.values()):
            return None
        taken = {name: _seconds(one, part) for name, one in engines.items()}
        slowest = max(taken, key=lambda name: taken[name])
        rates = measure.speeds(engines, rows, slowest, taken)
    serving = context.config.serving
    cost, before = (
        1000 * serving.machine_per_hour / 3600 / rates[name].throughput
        for name in ("candidate", "live")
    )
    return Saving(cost, before, serving.currency)


def _seconds(engine: Engine, items: Sequence[Item]) -> float:
    start = perf_counter()
    engine.raw(items)
    return perf_counter() - start


def _best(context: Context) -> Deployment | None:
    catalog = context.store.catalog
    versions = {one.id: one for one in catalog.model_versions(context.project)}
    history = catalog.history(catalog.project(context.project).endpoint)
    return best_ever(reversed(history), versions)


def _another(model: ModelVersion, served: Deployment) -> bool:
    """Whether what is `served` is anything else than `model` as it would be served. The same
    variant with another operating point is not: it answers alike."""
    if served.version != model.id:
        return True
    return served.artifact != model.artifact() and served.variant != model.variant


def _served(context: Context, deployment: Deployment) -> ModelVersion:
    """The version with what was deployed of it as its chosen variant."""
    model = context.store.catalog.model_version(deployment.version)
    name = deployment.variant or ""
    if not name:
        return replace(model, variant="")
    figures = {**model.variants.get(name, {}), "artifact": deployment.artifact}
    return replace(model, variant=name, variants={**model.variants, name: figures})


def _there(context: Context, deployment: Deployment) -> bool:
    model = context.store.catalog.model_version(deployment.version)
    return model.pruned is None and context.store.artifacts.exists(deployment.artifact)
