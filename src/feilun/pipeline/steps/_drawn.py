"""Drawn rows that a version learned at once, and what it answered to them out of fold.

An answer that was drawn at random and labelled is worth as much to learn from as to judge by. A
method that answers its rows out of fold does both in one update: the row trains, and a model of the
same recipe that had not seen it is judged on it. The live version never saw it, so that neither
side is flattered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.engines.cascade import levels_of
from feilun.families.base import Answers
from feilun.pipeline.context import Context
from feilun.pipeline.steps._folded import mixed_over
from feilun.store.drawn import DRAWN, Released
from feilun.store.records import ModelVersion
from feilun.training import out_of_fold
from feilun.training.out_of_fold import OutOfFold
from feilun.types import Item

__all__ = ["answered_out_of_fold", "part_out_of_fold", "unanswered"]


def unanswered(context: Context, model: ModelVersion) -> set[str]:
    """The ids of the drawn rows that `model`, or a stage of it, learned without answering them out
    of fold."""
    ids = _data(context, model).released if model.config.get("drawn") else ()
    keys, missing = out_of_fold.keys_of(ids), np.zeros(len(ids), bool)
    for stage, _ in _stages(context, model) if ids else ():
        if _learned(stage, model):
            kept = out_of_fold.read(context.folder(stage, ""))
            missing |= True if kept is None else ~np.isin(keys, kept.keys)
    return {ids[place] for place in np.flatnonzero(missing).tolist()}


def answered_out_of_fold(
    context: Context, model: ModelVersion, answers: Answers, row_ids: Sequence[str]
) -> Answers:
    """`answers` of `model` to the rows `row_ids`, with what it answered out of fold to those that
    it learned; the same where it learned none of them. A stage of a cascade that has not learned
    them answers by itself."""
    if not model.config.get("drawn"):
        return answers
    data = _data(context, model)
    learned = set(data.released)
    asked = {row: place for place, row in enumerate(row_ids) if row in learned}
    if not asked:
        return answers
    keys = out_of_fold.keys_of(asked)
    kept = []
    for stage, variant in _stages(context, model):
        if not _learned(stage, model):
            kept.append(OutOfFold(keys, _said(context, stage, variant, data, asked)))
        elif (own := out_of_fold.read(context.folder(stage, ""))) is not None:
            kept.append(own)
        else:
            return answers
    return _replaced(answers, asked, mixed_over(read_card(context.folder(model)), kept, keys))


def part_out_of_fold(
    context: Context, model: ModelVersion, part: Path, answers: Answers, row_ids: Sequence[str]
) -> Answers | None:
    """`answered_out_of_fold` of the version in the folder `part`, which was taught by some of what
    `model` reads; None where it learned rows and kept no answer to them."""
    learned = set(_data(context, model).released) if model.config.get("drawn") else set()
    asked = {row: place for place, row in enumerate(row_ids) if row in learned}
    if not asked:
        return answers
    kept = out_of_fold.read(part)
    if kept is None or not np.isin(out_of_fold.keys_of(asked), kept.keys).all():
        return None
    return _replaced(answers, asked, kept)


def _replaced(answers: Answers, asked: Mapping[str, int], kept: OutOfFold) -> Answers:
    """`answers` with what was `kept` at the places of the rows that are `asked`."""
    keys = out_of_fold.keys_of(asked)
    both = np.isin(keys, kept.keys)
    raw = np.array(answers.raw)
    places = np.array(list(asked.values()))[both]
    raw[places] = kept.raw[out_of_fold.places(kept.keys, keys[both])]
    return replace(answers, raw=raw) if both.any() else answers


def _data(context: Context, model: ModelVersion) -> Released:
    return Released(context.store.artifacts.path(context.data_of(model).artifact))


def _stages(context: Context, model: ModelVersion) -> list[tuple[ModelVersion, str]]:
    """The versions that answer, the cheapest first, with their variants: `model`, and before it
    what else is in its cascade."""
    levels = levels_of(read_card(context.folder(model)))[:-1]
    versions = context.store.catalog.model_version
    return [*((versions(one.version), one.variant) for one in levels), (model, "")]


def _learned(stage: ModelVersion, model: ModelVersion) -> bool:
    """Whether `stage` has learned the drawn rows that `model` has: those of one data version."""
    return bool(stage.config.get("drawn")) and stage.data_version == model.data_version


def _said(
    context: Context, stage: ModelVersion, variant: str, data: Released, rows: Collection[str]
) -> np.ndarray:
    """What `stage` answers by itself to drawn `rows` of `data`."""
    columns = data.row_ids("train"), data.items("train"), data.values("source", "train")
    items: dict[str, Item] = {
        row: item for row, item, source in zip(*columns, strict=True) if source == DRAWN
    }
    with closing(open_engine(context.folder(stage, variant or None))) as engine:
        return engine.raw([items[row] for row in rows])
