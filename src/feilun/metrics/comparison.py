"""Scores with intervals and paired comparisons of any family's answers, by its `Measured`.

Rows are resampled (plain bootstrap; blocks of rows where a family names some), for two versions
together. A share of right rows is compared by the interval of Bonett and Price instead, which keeps
its promise for few rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from feilun.metrics.intervals import paired_difference, paired_error, paired_risk, resampled
from feilun.metrics.measured import Measured
from feilun.metrics.paired import bootstrap_risk
from feilun.metrics.scores import Score, percentiles

__all__ = ["Judged", "gain_draws", "gains", "judge", "scores", "values"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rows say of one metric: the `gain` of the first version over the second (above 0 is
    better), its standard `error`, and the `risk` that it is truly worse by more than the margin.
    `loss_p` is how surprising it is that it lost this much if it is truly no worse: a one-sided
    p-value."""

    gain: Score
    error: float
    risk: float
    loss_p: float = 1.0


def values(measured: Measured) -> dict[str, float | None]:
    """The metrics without intervals; None for one that these rows do not define."""
    found = measured.replicates(np.ones((1, measured.rows)))
    return {
        name: None if np.isnan(found[name][0]) else float(found[name][0])
        for name in measured.higher_is_better
    }


def scores(
    measured: Measured, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Score | None]:
    """The metrics with intervals; None for one that these rows do not define."""
    drawn = _draw([measured], resamples, seed)[0]
    return {
        name: None if value is None else measured.interval(name, value, drawn[name], confidence)
        for name, value in values(measured).items()
    }


def gains(
    first: Measured,
    second: Measured,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Score]:
    """What `first` gains over `second` on the same rows, for each metric that both have: above 0
    is better, whichever way the metric runs. Raises `ValueError` for a different number of rows."""
    before, after = values(second), values(first)
    new, old = _draw([first, second], resamples, seed)
    result = {}
    for name, better in first.higher_is_better.items():
        start, end = before[name], after[name]
        if start is None or end is None:
            continue
        sign = 1 if better else -1
        difference = sign * (new[name] - old[name])
        result[name] = _shares(first, second, name, confidence) or percentiles(
            sign * (end - start), difference, confidence
        )
    return result


def gain_draws(
    first: Measured, second: Measured, metric: str, *, resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """The resampled gains in one metric: float (resamples,)."""
    new, old = _draw([first, second], resamples, seed)
    drawn: np.ndarray = new[metric] - old[metric]
    return drawn if first.higher_is_better[metric] else -drawn


def judge(
    first: Measured,
    second: Measured,
    metric: str,
    *,
    margin: float,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Judged:
    """What `first` gains over `second` by `metric`, as far as these rows tell. `margin` is what it
    may lose, in the metric's unit. Raises `ValueError` where these rows do not define the metric.
    """
    right, was_right = first.hits(metric), second.hits(metric)
    if right is not None and was_right is not None:
        known = paired_difference(right, was_right, confidence=confidence)
        error = paired_error(right, was_right)
        lost = 1 - paired_risk(right, was_right)
        return Judged(known, error, paired_risk(right, was_right, margin), lost)
    drawn = gain_draws(first, second, metric, resamples=resamples, seed=seed)
    end, start = values(first)[metric], values(second)[metric]
    if end is None or start is None:
        raise ValueError(f"these rows do not define {metric}")
    value = end - start if first.higher_is_better[metric] else start - end
    known = percentiles(value, drawn, confidence)
    found = drawn[np.isfinite(drawn)]
    error = float(found.std()) if len(found) else 0.0
    level = 1.0 if first.higher_is_better[metric] else abs(start)
    lost = max(1 - bootstrap_risk(drawn), _no_loss(value, error, level, first))
    return Judged(known, error, bootstrap_risk(drawn, margin), lost)


def _no_loss(gain: float, error: float, level: float, rows: Measured) -> float:
    """The probability of no true loss, taken for normal with one imagined win and one imagined loss
    of `level`. Resampling alone believes what it saw: at 5 % it takes a loss for proven in 7 to 8 %
    of samples of 30 equal rows (mean error, nDCG), with this in 6 and 1 %."""
    count = rows.rows if rows.blocks is None else len(np.unique(rows.blocks))
    error = math.hypot(error, level * math.sqrt(2) / (count + 2))
    return 1 - NormalDist(gain, max(error, 1e-12)).cdf(0.0)


def _shares(first: Measured, second: Measured, metric: str, confidence: float) -> Score | None:
    right, was_right = first.hits(metric), second.hits(metric)
    if right is None or was_right is None:
        return None
    return paired_difference(right, was_right, confidence=confidence)


def _draw(versions: Sequence[Measured], resamples: int, seed: int) -> list[dict[str, np.ndarray]]:
    rows = {version.rows for version in versions}
    if len(rows) > 1:
        raise ValueError(f"versions of different numbers of rows: {sorted(rows)}")
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in versions]
    for weights in resampled(rows.pop(), resamples, seed, versions[0].blocks):
        for version, part in zip(versions, parts, strict=True):
            part.append(version.replicates(weights))
    return [
        {name: np.concatenate([one[name] for one in part]) for name in version.higher_is_better}
        for version, part in zip(versions, parts, strict=True)
    ]
