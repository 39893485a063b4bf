"""Rows of a table are observations: equal ones are different rows. Arrays only.

Two customers may be alike in every column, and one may leave where the other stays. So within one
addition each row counts; across additions a row is the one that is there already, so that a file
can be added again. An id of the user's own tells rows apart for good, and whoever knows that all
rows are new says so.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from feilun.data._contents import begins, spread
from feilun.data._gather import LEFT_OUT, PREVIOUS, Gathered

__all__ = ["tell_apart"]

_ALIKE = 10
"""As many equal rows stand in one split, as copies would; of more, whose columns have few values,
each is drawn by itself."""


def tell_apart(gathered: Gathered, append: bool = False) -> tuple[int, int]:
    """Gives the gathered rows keys of their own where their contents are equal. Returns how many of
    those that came in without an id repeat another of them in their target, too, and how many were
    taken for rows of the previous version.

    Rows with ids are the same where id and content are. Without, the rows of one content that come
    in are matched with those of the previous version: first where the targets are equal, then in
    their order; what remains is new. With `append` all are.
    """
    rows = gathered.rows
    high, low = rows.key_halves()
    own = np.frombuffer(rows.identities, np.uint64)
    labels = np.frombuffer(rows.labels, np.int32)
    came = ~np.isin(np.frombuffer(rows.origins, np.int8), (PREVIOUS, LEFT_OUT))
    groups = rows.group_keys()
    alone = groups == high
    pool = np.flatnonzero(own == 0)
    repeats = _repeats(high, low, labels, pool[came[pool]])
    order, starts, sizes = _runs(high, low, pool[np.argsort(came[pool], kind="stable")])
    nth = _nth(order, starts, sizes, len(own))
    before = np.add.reduceat((~came[order]).astype(np.int64), starts) if len(order) else sizes
    if not append:
        pairs = (before == 1) & (sizes == 2)  # by far the most where a file comes again
        nth[order[starts[pairs] + 1]] = 0
        for place in np.flatnonzero((before > 0) & (before < sizes) & ~pairs).tolist():
            members = order[starts[place] : starts[place] + sizes[place]]
            nth[members] = _matched(labels[members].tolist(), int(before[place]))
    taken = came[order] & (nth[order] < np.repeat(before, sizes))
    few = np.ones(len(own), bool)
    few[order] = np.repeat(sizes <= _ALIKE, sizes)
    rows.grouped |= bool((sizes[sizes <= _ALIKE] > 1).any())
    counted = spread(nth)
    again = _nth(*_runs(high, low, np.arange(len(own))), len(own)) > 0
    apart = np.where(own != 0, np.where(again, own, 0), np.where(few, 0, counted))
    rows.set_keys(low ^ own ^ counted, np.where(alone, high ^ apart.astype(np.uint64), groups))
    return repeats, int(taken.sum())


def _runs(
    high: np.ndarray, low: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`rows` sorted by content, else in their order; where each content begins, and its rows."""
    order = rows[np.lexsort((low[rows], high[rows]))]
    starts = np.flatnonzero(begins(high[order], low[order]))
    return order, starts, np.diff(np.append(starts, len(order)))


def _nth(order: np.ndarray, starts: np.ndarray, sizes: np.ndarray, rows: int) -> np.ndarray:
    """The place of each row among those of its content, 0 of rows that are not in `order`."""
    nth = np.zeros(rows, np.int64)
    nth[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return nth


def _matched(labels: list[int], before: int) -> list[int]:
    """Which one of its content each row is; the first `before` are those of the previous version,
    and stay so."""
    places: dict[int, list[int]] = defaultdict(list)
    for place in reversed(range(before)):
        places[labels[place]].append(place)
    found = list(range(before)) + [-1] * (len(labels) - before)
    for row in range(before, len(labels)):
        if places[labels[row]]:
            found[row] = places[labels[row]].pop()
    left = sorted(place for same in places.values() for place in same)
    left += range(before, len(labels))
    rest = iter(left)
    return [next(rest) if place < 0 else place for place in found]


def _repeats(high: np.ndarray, low: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> int:
    order = rows[np.lexsort((labels[rows], low[rows], high[rows]))]
    return int((~begins(high[order], low[order], labels[order])).sum())
