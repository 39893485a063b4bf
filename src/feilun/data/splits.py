"""Which rows train, which choose between models, which judge: the same way every time."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from feilun.types import Split

__all__ = ["AUTO", "SMALL", "SPLITS", "Shares", "assign", "by_time", "lots"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""Splits by their number. A higher one goes before a lower one where the same content came for
both: what judges must not be trained on."""
AUTO = -1
"""No split yet."""
SMALL = 50
"""Below this many groups a label's share of each split is counted out, above it is left to lots."""

_MIN_GROUPS = 5


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of new rows that go to validation and to test, and the seed of the lots."""

    validation: float
    test: float
    seed: int = 0


def lots(keys: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each key, uint64 (n,): the same for the same key and seed in every
    version, whatever other rows there are."""
    salt = np.uint64(int.from_bytes(blake2b(str(seed).encode(), digest_size=8).digest(), "big"))
    x = keys ^ salt
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def assign(keys: np.ndarray, labels: np.ndarray, fixed: np.ndarray, shares: Shares) -> np.ndarray:
    """The split number of every group, int8 (n,).

    `keys` (uint64) identify groups, `labels` (int) are their labels' numbers, `fixed` (int8) their
    split where it is decided, else `AUTO`. Lots decide the rest, by which a row keeps its place
    whatever is added. A label of fewer than `SMALL` groups gets its shares counted out in the
    order of the lots, one at least from five groups on; with fewer all train. Where a split with
    a share would stay empty, the most frequent labels give a group to it.
    """
    split = fixed.astype(np.int8, copy=True)
    free = split == AUTO
    if not free.any():
        return split
    lot = lots(keys, shares.seed)
    border = shares.test + shares.validation
    split[free] = np.where(lot[free] < shares.test, 2, np.where(lot[free] < border, 1, 0))
    order = np.lexsort((lot, labels))
    bounds = np.flatnonzero(np.diff(labels[order], prepend=-1, append=-1))
    sizes = np.diff(bounds)
    for start, size in zip(bounds[:-1].tolist(), sizes.tolist(), strict=True):
        members = order[start : start + size]
        _stratify(split, members, free, shares)
    for place in np.argsort(-sizes, kind="stable").tolist():
        members = order[bounds[place] : bounds[place + 1]]
        if not _fill_empty(split, members, free, shares):
            break
    return split


def by_time(
    times: np.ndarray, fixed: np.ndarray, shares: Shares, series: np.ndarray | None = None
) -> np.ndarray:
    """The split number of every row, int8 (n,): of those that are not `fixed` the newest judge,
    those before them choose, the rest train. `times` are float64; rows without one (nan) train.
    With `series` (n,) this holds of the rows of each series by themselves."""
    if series is not None:
        split = fixed.astype(np.int8, copy=True)
        order = np.argsort(series, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(series[order])) + 1):
            split[rows] = by_time(times[rows], fixed[rows], shares)
        return split
    split = fixed.astype(np.int8, copy=True)
    free = split == AUTO
    split[free] = 0
    timed = np.flatnonzero(free & ~np.isnan(times))
    order = timed[np.argsort(times[timed], kind="stable")]
    test = round(shares.test * len(order))
    judging = test + round(shares.validation * len(order))
    split[order[len(order) - judging :]] = 1
    split[order[len(order) - test :]] = 2
    return split


def _stratify(split: np.ndarray, members: np.ndarray, free: np.ndarray, shares: Shares) -> None:
    """Gives one label its share of validation and test; `members` are in the order of lots."""
    size = len(members)
    movable = members[free[members]]
    if size < SMALL:
        split[movable] = 0
        movable = movable.tolist()
    for number, share in ((2, shares.test), (1, shares.validation)):
        if not share:
            continue
        there = int((split[members] == number).sum())
        if size < SMALL:
            wanted = max(1, round(share * size)) if size >= _MIN_GROUPS else 0
            moved, movable = movable[: max(0, wanted - there)], movable[max(0, wanted - there) :]
        elif there == 0:
            moved = movable[split[movable] == 0][:1]
        else:
            continue
        split[moved] = number


def _fill_empty(split: np.ndarray, members: np.ndarray, free: np.ndarray, shares: Shares) -> bool:
    """Moves groups of one label into splits that have none; False when all have some."""
    for number, share in ((2, shares.test), (1, shares.validation)):
        if share and not (split == number).any():
            able = members[free[members] & (split[members] == 0)]
            if len(able) < 2:
                return True
            split[able[0]] = number
    return any(
        share and not (split == number).any()
        for number, share in ((2, shares.test), (1, shares.validation))
    )
