"""Cascades: which answers of a cheaper model are sure enough that a dearer one need not be asked.

Thresholds are set on held-out rows, from the surest answers on, as far as the metric loses no more
than allowed; the loss is told with its interval. Stages are calibrated first, so that how sure they
are means the same, the last one on the rows that come to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from feilun.config import ProjectConfig
from feilun.engines.base import open_engine
from feilun.engines.card import Card
from feilun.engines.cascade import FORMATS, Level, certainty, mixed, write_cascade
from feilun.families.base import Family
from feilun.messages import t
from feilun.metrics.comparison import gains, values
from feilun.metrics.scores import Score
from feilun.render.wording import points, signed
from feilun.tasks import base as tasks
from feilun.types import Item, Schema

__all__ = ["LEAST_ROWS", "SAVES", "Fitted", "Stage", "Switch", "asked", "chains", "fit", "saved",
           "switch", "told", "write"]  # fmt: skip

LEAST_ROWS = 100
"""Held-out rows below which no threshold is set."""
SAVES = 0.2
"""Share of the last stage's cost that a cascade has to save: less is within what two measurements
on a busy machine differ by."""

_CUTS = 50  # thresholds that are tried
_LEAST_SHARE = 0.1  # of the rows that a stage has to answer
_OWN = 50  # passed on rows from which the last stage is calibrated on them


@dataclass(frozen=True, slots=True)
class Stage:
    """A model that may answer in a cascade: an engine's `folder`, what it is called and comes from,
    and how many answers a second it gave alone."""

    level: Level
    folder: Path
    throughput: float


@dataclass(frozen=True, slots=True)
class Switch:
    """A stage answers where it is at least as sure as `threshold`: a `share` of the rows. `loss` is
    what the metric loses thereby against the reference, below 0 where it gains."""

    threshold: float
    share: float
    loss: Score


@dataclass(frozen=True, slots=True)
class Fitted:
    """The `thresholds` of a cascade of `levels`, the operating `point` of all of it with `notes` on
    how it was set, and the `loss` against the reference."""

    levels: tuple[Level, ...]
    thresholds: tuple[float, ...]
    point: Mapping[str, Any]
    loss: Score
    notes: tuple[str, ...] = ()


def switch(
    family: Family,
    metric: str,
    truth: np.ndarray,
    labels: tuple[str, ...],
    sure: np.ndarray,
    cheap: np.ndarray,
    dear: np.ndarray,
    allowed: float,
    reference: np.ndarray | None = None,
    *,
    proven: bool = True,
) -> Switch | None:
    """The lowest threshold on how `sure` (rows,) the `cheap` raw outputs are, so that with the
    `dear` ones for the rest `metric` loses at most `allowed` against the `reference` (default: the
    dear ones), at this threshold and at all higher ones: an exception further down would be chance.
    `proven` asks it of the whole interval, because on a few hundred rows the cheap model often
    looks as good as the dear one that was taken for being better. None where less than a tenth of
    the rows could be answered so. All raw outputs are for the neutral operating point."""
    known = np.sort(sure[np.isfinite(sure)])[::-1]
    if not len(known):
        return None
    point = family.neutral()
    better = family.metrics.get(metric, True)
    wanted = family.measured(truth, dear if reference is None else reference, labels, point)
    level = values(wanted)[metric]
    if level is None:
        return None
    best: tuple[float, Score] | None = None
    for count in np.unique(np.linspace(1, len(known), _CUTS).round().astype(int)).tolist():
        # Between two rows, so that what is computed in another order falls on the same side.
        below = known[count] if count < len(known) else known[-1]
        if count < len(known) and below == known[count - 1]:
            continue  # equally sure rows are not parted
        threshold = float(known[count - 1] + below) / 2
        measured = family.measured(truth, _merged(sure, threshold, cheap, dear), labels, point)
        value = values(measured)[metric]
        if value is None or (level - value if better else value - level) > allowed + 1e-9:
            break
        gain = gains(measured, wanted)[metric]
        if proven and -gain.low > allowed + 1e-9:
            break
        best = threshold, gain
    if best is None:
        return None
    threshold, gain = best
    share = float((sure >= threshold).mean())
    if share < _LEAST_SHARE:
        return None
    return Switch(threshold, share, Score(0.0 - gain.value, 0.0 - gain.high, 0.0 - gain.low))


def fit(
    levels: Sequence[Level],
    raws: Sequence[np.ndarray],
    truth: np.ndarray,
    schema: Schema,
    reference: np.ndarray,
    allowed: float,
    config: ProjectConfig,
) -> Fitted | None:
    """Thresholds and operating points for a cascade of `levels`, whose raw outputs for held-out
    rows are `raws`; None where no stage but the last could answer enough. `reference` are raw
    outputs that the loss is held against."""
    task = tasks.of(schema)
    family, labels = task.family, schema.labels
    own = [dict(family.calibrate(raw, truth, labels, config)[0]) for raw in raws]
    whole, notes = dict(family.neutral()), [""][:0]
    for turn in range(2):
        found: list[Switch] = []
        above = family.settled(raws[-1], schema, own[-1])
        for place in reversed(range(len(levels) - 1)):
            decode = family.decoder(schema, family.scaled(whole, own[place]))
            sure = certainty(family, decode(raws[place], False))
            cheap = family.settled(raws[place], schema, own[place])
            part = allowed * (len(levels) - 1 - place) / (len(levels) - 1)
            one = switch(family, task.primary, truth, labels, sure, cheap, above, part, reference)
            if one is None:
                return None
            found.insert(0, one)
            above = _merged(sure, one.threshold, cheap, above)
        limits = [one.threshold for one in found]
        placed = [replace(level, point=point) for level, point in zip(levels, own, strict=True)]
        raw, given = mixed(_card(schema, whole), placed, limits, raws)
        if turn:
            break
        passed = given == len(levels) - 1
        if passed.sum() >= _OWN:
            own[-1] = dict(family.calibrate(raws[-1][passed], truth[passed], labels, config)[0])
            placed[-1] = replace(levels[-1], point=own[-1])
            raw, _ = mixed(_card(schema, whole), placed, limits, raws)
        point, notes = family.calibrate(raw, truth, labels, config)
        whole = dict(point)
    shares = np.bincount(given, minlength=len(levels)) / len(given)
    placed = [
        replace(level, share=round(share, 4))
        for level, share in zip(placed, shares.tolist(), strict=True)
    ]
    return Fitted(tuple(placed), tuple(limits), whole, found[0].loss, tuple(notes))


def chains(cheaper: Sequence[Stage], last: Stage) -> list[list[Stage]]:
    """The cascades to try before `last`: each cheaper model alone, and each two, the faster one
    first."""
    able = sorted(
        (one for one in cheaper if one.throughput * (1 - SAVES) > last.throughput),
        key=lambda one: -one.throughput,
    )
    pairs = [[able[n], other, last] for n in range(len(able)) for other in able[n + 1 :]]
    return [*([one, last] for one in able), *pairs]


def asked(folder: Path, items: Sequence[Item]) -> np.ndarray:
    """The raw outputs of the engine in `folder`."""
    with closing(open_engine(folder)) as engine:
        return engine.raw(items)


def saved(fitted: Fitted, stages: Sequence[Stage]) -> float:
    """The share of the last stage's cost that the cascade saves: each stage is asked what those
    before it passed on."""
    left, cost = 1.0, 0.0
    for level, stage in zip(fitted.levels, stages, strict=True):
        cost += left / stage.throughput
        left -= level.share or 0.0
    return 1.0 - cost * stages[-1].throughput


def write(fitted: Fitted, stages: Sequence[Stage], folder: Path) -> Card:
    """Writes the cascade into the new `folder`."""
    parts = [(level, stage.folder) for level, stage in zip(fitted.levels, stages, strict=True)]
    return write_cascade(folder, parts, fitted.thresholds, point=fitted.point)


def told(fitted: Fitted, metric: str, rows: int) -> str:
    """The cascade in words: who answers what, and what is lost."""
    who = [
        t(
            "compression.cascade_stage",
            name=level.name,
            share=f"{100 * (level.share or 0.0):.0f}",
            threshold=f"{threshold:.3f}",
        )
        for level, threshold in zip(fitted.levels[:-1], fitted.thresholds, strict=True)
    ]
    last = fitted.levels[-1]
    return t(
        "compression.cascade_told",
        stages=who,
        last=last.name,
        share=f"{100 * (last.share or 0.0):.0f}",
        gain=points(metric, 0.0 - fitted.loss.value),
        low=signed(metric, 0.0 - fitted.loss.high),
        high=signed(metric, 0.0 - fitted.loss.low),
        rows=rows,
    )


def _merged(sure: np.ndarray, threshold: float, cheap: np.ndarray, dear: np.ndarray) -> np.ndarray:
    result = np.asarray(dear).copy()
    kept = sure >= threshold
    result[kept] = cheap[kept]
    return result


def _card(schema: Schema, point: Mapping[str, Any]) -> Card:
    return Card(FORMATS[0], schema, FORMATS[0], point=point)
