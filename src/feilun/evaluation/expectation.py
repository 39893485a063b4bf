"""What a promotion is expected to gain: what was measured, taken for as much as the rows are worth.

The true gain is taken for normal before anything is measured, and the rows for a measurement of it
with a standard error. The expected gain is the mean afterwards, between the two by their precision
(the normal model with known variance; Efron and Morris 1975).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from feilun.evaluation.consultations import luck

__all__ = [
    "DOUBT",
    "SLOPE",
    "SPREAD",
    "Prior",
    "beyond",
    "expected",
    "prior",
    "settling",
    "together",
]

SLOPE = 0.13
"""The error falls with the training rows to the power of minus this: so it did where rows were
hidden and added again, English and Chinese reviews, twice and three times the rows (.12 to .14,
``python -m benchmarks.evidence.forecast``)."""
SPREAD = 0.1
"""One standard deviation of true gains, as a part of the error that is left: of three candidates
one changes the error by more than a tenth. As a part, it means the same for every metric."""
DOUBT = SPREAD / 4
"""By so much a candidate that learned from no more rows is held for worse before anything is
measured: what answers now has been proven once, and a change that nothing speaks for is more often
a loss. With nothing, 100 rows let half as many candidates again pass that lose a point as a limit
of 20 % for that risk did; with a quarter of the spread about as many, and fewer the more rows
(``python -m benchmarks.evidence.gate``)."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is held of the gain before anything is measured, in the metric's unit."""

    mean: float
    spread: float


def prior(value: float, higher_is_better: bool, grown: float = 1.0) -> Prior:
    """Of a candidate against a version that scores `value` and was trained on fewer rows: `grown`
    is by how many times they have become more (1: as many, nothing speaks for the candidate)."""
    room = abs(1 - value) if higher_is_better else abs(value)
    room = max(room, 1e-6)
    return Prior(room * (1 - grown**-SLOPE if grown > 1 else -DOUBT), room * SPREAD)


def expected(gain: float, error: float, before: Prior, attempts: int = 1) -> float:
    """The expected gain of a candidate that was measured to gain `gain`, with the standard error
    `error`, as the `attempts`-th against the same version on the same rows."""
    error = max(error, 1e-9)
    measured = gain - luck(attempts) * error
    weight = before.spread**2 / (before.spread**2 + error**2)
    return weight * measured + (1 - weight) * before.mean


def beyond(
    gain: float, error: float, margin: float, rows: int, *, level: float = 1.0, attempts: int = 1
) -> float:
    """The probability that a candidate truly loses more than `margin`, by the rows alone: nothing
    held before speaks for it, and the luck of the `attempts` is taken off. No standard error is
    taken for less than that of one imagined win and one imagined loss of `level` among the `rows`,
    so that few rows on which nothing differs prove nothing."""
    error = max(error, level * math.sqrt(2) / (rows + 2), 1e-9)
    return NormalDist(gain - luck(attempts) * error, error).cdf(-margin)


def together(asked: tuple[float, float], *others: tuple[float, float]) -> tuple[float, float]:
    """One gain and its standard error from several, each over rows of another kind.

    `asked` is over the rows that a promotion is for: what customers ask now. The `others` (rows of
    the first files, training rows answered out of fold) say the same as long as customers ask as
    they did. All are weighed by their precision, the others less by as much as they are further
    from `asked` than chance puts them (the variance between studies of DerSimonian and Laird 1986,
    taken for theirs alone).
    """
    gain, error = asked[0], max(asked[1], 1e-9)
    for other, its in others:
        own = max(its, 1e-9) ** 2
        own += max(0.0, (other - gain) ** 2 - error**2 - own)
        weight = error**2 / (error**2 + own)
        gain = (1 - weight) * gain + weight * other
        error = math.sqrt(error**2 * own / (error**2 + own))
    return gain, error


def settling(gain: float, half: float, margin: float, rows: int) -> int | None:
    """About how many more rows until the interval lies above or below zero, or within the margin,
    if the difference stays what it is: `half` is half the interval's width now. 0: it does so
    already; None: no number of rows does."""
    distance = max(abs(gain), margin - abs(gain))
    if distance <= 0:
        return None
    return max(0, math.ceil(rows * ((half / distance) ** 2 - 1)))
