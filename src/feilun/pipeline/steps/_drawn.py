"""Drawn rows that a version learned at once, and what it answered to them out of fold.

An answer that was drawn at random and labelled is worth as much to learn from as to judge by. A
method that answers its rows out of fold does both in one update: the row trains, and a model of the
same recipe that had not seen it is judged on it. The live version never saw it, so that neither
side is flattered.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.engines.cascade import levels_of, mixed
from feilun.families.base import Answers
from feilun.pipeline.context import Context
from feilun.store.drawn import DRAWN, Released
from feilun.store.records import ModelVersion
from feilun.training import out_of_fold
from feilun.types import Item

__all__ = ["DrawnRows", "answered_out_of_fold", "drawn_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class DrawnRows:
    """The ids of drawn rows (n,), those that were `answered` out of fold (n,), and of these the raw
    outputs (answered, width), None where there are none."""

    rows: np.ndarray
    answered: np.ndarray
    raw: np.ndarray | None


def drawn_rows(context: Context, model: ModelVersion) -> DrawnRows:
    """The drawn rows that `model` learned; none where it learned none."""
    nothing = DrawnRows(np.zeros(0, object), np.zeros(0, bool), None)
    if not model.config.get("drawn"):
        return nothing
    data = Released(context.store.artifacts.path(context.data_of(model).artifact))
    ids = np.array(data.released, object)
    if not len(ids):
        return nothing
    raws = [_kept(context, model, ids)]
    card = read_card(context.folder(model))
    levels = levels_of(card)
    items = _items(data) if levels else {}
    for level in levels[-2::-1]:
        other = context.store.catalog.model_version(level.version)
        raws.insert(0, _raw(context, other, level.variant, ids, items))
    answered = np.all([places >= 0 for places, _ in raws], axis=0)
    if not answered.any():
        return DrawnRows(ids, answered, None)
    given = [raw[places[answered]] for places, raw in raws]
    raw = mixed(card, levels, card.extra["thresholds"], given)[0] if levels else given[0]
    return DrawnRows(ids, answered, raw)


def answered_out_of_fold(
    context: Context, model: ModelVersion, answers: Answers, row_ids: list[str]
) -> Answers:
    """`answers` of `model` to the rows `row_ids`, with what it answered out of fold to those that
    it learned; the same where it learned none of them."""
    drawn = drawn_rows(context, model)
    if drawn.raw is None:
        return answers
    places = {row: place for place, row in enumerate(row_ids)}
    known = drawn.rows[drawn.answered].tolist()
    there = [(places[row], place) for place, row in enumerate(known) if row in places]
    if not there:
        return answers
    raw = np.array(answers.raw)
    to, of = np.array(there).T
    raw[to] = drawn.raw[of]
    return replace(answers, raw=raw)


Kept = tuple[np.ndarray, np.ndarray]
"""The place of each row among the raw outputs, -1 where it has none, and these outputs."""


def _kept(context: Context, model: ModelVersion, ids: np.ndarray) -> Kept:
    kept = out_of_fold.read(context.folder(model, ""))
    if kept is None:
        return np.full(len(ids), -1), np.zeros((0, 0), np.float32)
    return out_of_fold.places(kept.keys, out_of_fold.keys_of(ids.tolist())), kept.raw


def _raw(
    context: Context, model: ModelVersion, variant: str, ids: np.ndarray, items: dict[str, Item]
) -> Kept:
    """The same of a lower stage of a cascade, which answers by itself what it has not learned."""
    if model.config.get("drawn"):
        return _kept(context, model, ids)
    with closing(open_engine(context.folder(model, variant or None))) as engine:
        return np.arange(len(ids)), engine.raw([items[row] for row in ids.tolist()])


def _items(data: Released) -> dict[str, Item]:
    columns = data.row_ids("train"), data.items("train"), data.values("source", "train")
    return {row: item for row, item, source in zip(*columns, strict=True) if source == DRAWN}
