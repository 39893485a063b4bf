"""What the base of a version is worth: the same method from another base, on the same rows."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np

from feilun.engines.base import Engine, open_engine
from feilun.evaluation.facts import BaseGain
from feilun.families.base import Answers
from feilun.metrics.comparison import gains
from feilun.pipeline.context import Context
from feilun.pipeline.steps._catalogue import over_one_catalogue
from feilun.store.dataset import Dataset
from feilun.store.records import ModelVersion

__all__ = ["base_gain"]


def base_gain(
    context: Context,
    model: ModelVersion,
    engine: Engine,
    dataset: Dataset,
    candidate: Answers,
    truth: np.ndarray,
) -> BaseGain | None:
    """What `candidate`, the answers of `model` to the test rows, gains over the newest version that
    the same method taught the same data from another base; None where there is none."""
    base, other = _base(model), _other(context, model)
    if base is None or other is None:
        return None
    family = context.task.family
    known = np.flatnonzero(family.known(truth))
    with closing(open_engine(context.folder(other))) as its:
        over_one_catalogue(engine, its)
        raw, card = its.raw(dataset.items("test")), its.card
    said = Answers(other.id, other.method, card.schema.labels, raw[known], card.point)
    mine = replace(candidate, raw=candidate.raw[known])
    if not len(known) or mine.labels != said.labels:
        return None
    sheet = family.sheet(mine, {"live": said}, truth[known], dataset.schema.labels)
    found = gains(
        sheet.measured, sheet.others["live"], confidence=context.config.evaluation.confidence
    ).get(context.task.primary)
    if found is None:
        return None
    return BaseGain(other.id, str(_base(other)), context.task.primary, found)


def _base(model: ModelVersion) -> str | None:
    found = model.config.get("rung", {}).get("base_name")
    return str(found) if found else None


def _other(context: Context, model: ModelVersion) -> ModelVersion | None:
    if model.data_version is None:
        return None
    found = [
        one
        for one in context.store.catalog.model_versions(context.project)
        if (one.method, one.data_version) == (model.method, model.data_version)
        and _base(one) not in (None, _base(model))
        and one.artifact()
        and not one.pruned
        and one.state != "failed"
    ]
    return found[-1] if found else None
