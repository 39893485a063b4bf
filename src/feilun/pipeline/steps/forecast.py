"""What more labels would bring: for training, by the linear baseline's learning curve, and for
judging."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feilun.errors import InvalidData, UsageError
from feilun.evaluation.forecast import APART, Forecast, Point, rows_to_see
from feilun.evaluation.forecast import forecast as fit
from feilun.pipeline.context import Context
from feilun.store.dataset import Dataset
from feilun.store.records import ModelVersion
from feilun.types import Progress

__all__ = ["LEAST", "Ahead", "forecast"]

LEAST = 200
"""Labelled training rows below which no curve is drawn."""
_MOST = 10_000
"""Rows that the curve is made of at most, drawn by the seed: beyond, the power law goes on."""
_WORK = 30_000_000
"""Non-zero features times labels beyond which fewer rows are taken: 45 models are fitted."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """`curve` holds (rows, accuracy) of the linear baseline on unseen rows. `found` is its forecast
    for training rows, `gain` the accuracy that is to be won. `test_rows` are there, and about
    `test_wanted` prove such a gain in eight of ten cases; `apart` is the share of test rows on
    which versions differ, as last seen or, `assumed`, taken for granted."""

    rows: int
    curve: tuple[tuple[int, float], ...]
    found: Forecast
    gain: float
    test_rows: int
    test_wanted: int | None
    apart: float
    assumed: bool


def forecast(
    context: Context,
    version: ModelVersion | None,
    *,
    gain: float | None = None,
    target: float | None = None,
) -> Ahead:
    """For `gain` in accuracy, or for `target`: then the gain is what `version`, judged on its test
    rows, is short of it, and the linear baseline is where there is none. Raises `InvalidData` for
    too few rows, or rows of one label."""
    from feilun.training import folds
    from feilun.training.curve import FITS, curve

    data = context.store.catalog.latest_data(context.project)
    if data is None:
        raise InvalidData("forecast.no_rows", project=context.project)
    if context.task.family.many_targets:
        raise UsageError("forecast.classes_alone", task=context.task.name)
    dataset = context.dataset(data)
    labels = dataset.labels("train")
    known = np.flatnonzero(labels >= 0)
    if len(known) < LEAST or len(np.unique(labels[known])) < 2:
        raise InvalidData("forecast.too_few", rows=len(known), least=LEAST)
    seed = context.config.training.seed
    items = dataset.items("train")
    features = context.task.features(context.task_settings())
    chosen = np.random.default_rng(seed).permutation(known)[:_MOST]
    chosen.sort()
    matrix = folds.matrix_of(features, [items[int(row)] for row in chosen])
    count = len(dataset.schema.labels)
    work = int(getattr(matrix, "nnz", matrix.size)) * count
    if work > _WORK:
        most = max(LEAST, int(len(chosen) * _WORK / work))
        matrix, chosen = matrix[:most], chosen[:most]
    truth = labels[chosen]
    strength = folds.strength_for(matrix, truth, count, seed)

    def tick(fits: int) -> None:
        context.report(Progress("forecast", fits, FITS, "fits"))

    grown = curve(
        matrix,
        truth,
        count,
        strength,
        groups=_groups(dataset, items, chosen),
        seed=seed,
        tick=tick,
    )
    points = [Point(rows, right) for rows, right in grown]
    if gain is None:
        reached = _score(version)
        start = fit(points, len(known), gain=0.0).now if reached is None else reached
        gain = (target or 0.0) - start
    found = fit(points, len(known), gain=max(gain, 0.0))
    apart, assumed = _apart(version)
    return Ahead(
        rows=len(known),
        curve=tuple((point.rows, float(point.right.mean())) for point in points),
        found=found,
        gain=gain,
        test_rows=int((dataset.labels("test") >= 0).sum()),
        test_wanted=rows_to_see(gain, apart) if gain > 0 else None,
        apart=apart,
        assumed=assumed,
    )


def _groups(dataset: Dataset, items: object, chosen: np.ndarray) -> np.ndarray | None:
    """Near-duplicates stay together, or a model would be asked about rows that it learned."""
    from feilun.data.near import groups

    texts = [items[int(row)] for row in chosen]  # type: ignore[index]
    return groups(texts) if all(isinstance(text, str) for text in texts) else None


def _score(version: ModelVersion | None) -> float | None:
    found = version.metrics.get("test", {}).get("accuracy") if version else None
    return float(found["value"]) if found else None


def _apart(version: ModelVersion | None) -> tuple[float, bool]:
    """On which share of the test rows the version and the one it was judged against differ."""
    seen = version.metrics.get("apart") if version else None
    return (APART, True) if not seen else (float(seen), False)
