"""How often the frozen test rows have been asked, and what luck that makes likely.

Whoever tries often enough finds a candidate that looks good on one set of rows by chance. The
luckiest of k candidates looks better than it is by at most the root of 2 ln k standard errors in
expectation, however the candidates hang together (Boucheron, Lugosi and Massart 2013, theorem 2.5).
That much is taken off the gain of the k-th attempt on the same live version. A promotion ends the
count: what follows is compared with the new version, which luck has made look better on these rows
and so harder to beat (alpha-investing, Foster and Stine 2008).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Consultations", "luck"]


@dataclass(frozen=True, slots=True)
class Consultations:
    """`total` different versions, this one among them, were judged on most of these test rows;
    `attempts` of them were compared with the version that is live now, and `since_best` with it or
    with any that was live since the best one ever was (None: that is the live one)."""

    total: int = 1
    attempts: int = 1
    since_best: int | None = None


def luck(attempts: int) -> float:
    """By how many standard errors the luckiest of so many equal candidates looks better than it is,
    at most and on average. 0 for the first."""
    return math.sqrt(2 * math.log(max(1, attempts)))
