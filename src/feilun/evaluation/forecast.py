"""How much better more labels would make it: a power law through the accuracies on growing parts of
the rows.

The error on n training rows is taken for ``floor + scale * n ** -slope``. A handful of accuracies
does not fix three numbers, so no single curve is drawn: all curves within bounds are weighed by how
well they fit, and the answer is their weighted median with the range of the middle 80 %. The same
rows judge every part, so what is easy or hard about them cancels out of the differences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

__all__ = ["APART", "FARTHEST", "Forecast", "Point", "forecast", "least_gain", "rows_to_see"]

APART = 0.1
"""Share of the rows that two versions answer differently, where none were compared yet."""
FARTHEST = 10
"""Times as many rows as there are: nothing is said of what lies beyond."""
_SLOPES = np.linspace(0.05, 1.0, 39)
_FLOORS = np.linspace(0.0, 0.7, 36)
"""Of the lowest error seen. Floors up to the error itself would fit as well, and end every curve
where the rows end: forecasts were too high by half with them, and too low by a fifth with floors up
to half of it."""
_MIDDLE = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """How a model of `rows` training rows did: which of the judging rows it has right, as shares
    over the repetitions (judging rows,)."""

    rows: int
    right: np.ndarray


@dataclass(frozen=True, slots=True)
class Forecast:
    """`rows` are there now. About `more` would be needed, between `low` and `high` in eight of ten
    cases; None beyond `FARTHEST` times the rows. ``reached``: it is there already. ``far``: most
    curves do not get there. `now` is the fitted accuracy, `wanted` the one asked for; `ceiling` is
    where the curves end at `FARTHEST` times the rows."""

    state: Literal["reached", "more", "far"]
    rows: int
    now: float
    wanted: float
    more: int | None
    low: int | None
    high: int | None
    ceiling: float


def forecast(
    points: list[Point], rows: int, *, target: float | None = None, gain: float | None = None
) -> Forecast:
    """What accuracy `target`, or `gain` more than now, would take. The answer is of the stage that
    the points are of. Raises `ValueError` for fewer than three points or neither aim."""
    if len(points) < 3 or (target is None) == (gain is None):
        raise ValueError(f"three points are needed, and target or gain; not {len(points)}")
    slopes, floors, scales, weights = _curves(points)
    now = floors + scales * rows**-slopes
    wanted = now - gain if gain is not None else np.full_like(now, 1 - (target or 0.0))
    room = wanted - floors
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        needed = np.where(room > 0, (scales / room) ** (1 / slopes), np.inf)
    needed = np.where(now <= wanted, rows, needed)
    low, middle, high = (_quantile(needed, weights, share) for share in _MIDDLE)
    far = floors + scales * (FARTHEST * rows) ** -slopes
    level = 1 - _quantile(now, weights, 0.5)
    aim = level + gain if gain is not None else float(target or 0.0)
    said = [_more(one, rows) for one in (middle, low, high)]
    state: Literal["reached", "more", "far"] = "more" if said[0] is not None else "far"
    if said[0] == 0:
        state = "reached"
    ceiling = 1 - _quantile(far, weights, 0.5)
    return Forecast(state, rows, level, aim, said[0], said[1], said[2], ceiling)


def rows_to_see(gain: float, apart: float, confidence: float = 0.95) -> int:
    """Test rows on which a true gain is proven in eight of ten cases, where two versions answer the
    share `apart` of the rows differently."""
    wanted = max(apart - gain**2, gain * (1 - gain))
    return math.ceil(_reach(confidence) ** 2 * wanted / gain**2)


def least_gain(rows: int, apart: float, confidence: float = 0.95, *, shares: bool = True) -> float:
    """The smallest true gain that so many `rows` prove in eight of ten cases: `rows_to_see` the
    other way round. `apart` is the mean squared difference of what two versions' answers to a row
    are worth; of `shares` of right rows that is the share that they answer differently, and it is
    no less than the gain."""
    reach = _reach(confidence) ** 2
    least = reach / (rows + reach) if shares else 0.0
    return max(math.sqrt(apart * reach / (rows + reach)), least)


def _reach(confidence: float) -> float:
    """Standard errors between no difference and one that is proven in eight of ten cases."""
    normal = NormalDist()
    return normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(0.8)


def _curves(points: list[Point]) -> tuple[np.ndarray, ...]:
    """Slope, floor, scale and weight of every curve within bounds, by generalised least squares."""
    sizes = np.array([point.rows for point in points], dtype=np.float64)
    right = np.stack([point.right for point in points]).astype(np.float64)
    errors = 1 - right.mean(axis=1)
    count = right.shape[1]
    spread = np.cov(right) / count
    # Which rows a part holds is chance, too: it is not in the judging rows' covariance.
    spread += np.diag(0.25 * np.diag(spread)) + np.eye(len(points)) * 1e-9
    inverse = np.linalg.inv(spread)
    slope, floor = (a.ravel() for a in np.meshgrid(_SLOPES, _FLOORS * errors.min(), indexing="ij"))
    shape = sizes[None, :] ** -slope[:, None]
    gap = errors[None, :] - floor[:, None]
    top = np.einsum("ki,ij,kj->k", shape, inverse, gap)
    scale = np.maximum(top / np.einsum("ki,ij,kj->k", shape, inverse, shape), 0.0)
    miss = gap - scale[:, None] * shape
    loss = np.einsum("ki,ij,kj->k", miss, inverse, miss)
    weight = np.exp(-(loss - loss.min()) / 2)
    return slope, floor, scale, weight / weight.sum()


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    order = np.argsort(values)
    place = int(np.searchsorted(np.cumsum(weights[order]), share))
    return float(values[order[min(place, len(order) - 1)]])


def _more(needed: float, rows: int) -> int | None:
    """Rows beside those there are; two digits are all that it is worth."""
    if needed > FARTHEST * rows:
        return None
    more = max(0, round(needed - rows))
    unit = int(max(10 ** (len(str(more)) - 2), 1))
    return round(more / unit) * unit
