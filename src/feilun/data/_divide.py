"""Which contents train, which choose, which judge, and which may do neither.

What belongs together goes together: rows of one group, and near-duplicates. Where the two pull
apart (a near-duplicate in another group, a test row of an earlier version) the group and the test
split hold, and the near-duplicate is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feilun.data._contents import Contents
from feilun.data._gather import Gathered
from feilun.data.splits import AUTO, SPLITS, Shares, assign, by_time

__all__ = ["Division", "divide"]

_TEST = SPLITS.index("test")


@dataclass(frozen=True, slots=True)
class Division:
    """Of some contents: `split` (int8), and `out` (bool) for those that are left out because a
    near-duplicate of theirs stands in a split that they must not share or cannot join, and
    `doubled` (bool) for those that are left out because a near-duplicate is kept already."""

    split: np.ndarray
    out: np.ndarray
    doubled: np.ndarray


def divide(
    gathered: Gathered,
    contents: Contents,
    alive: np.ndarray,
    strata: np.ndarray,
    near: np.ndarray | None,
    shares: Shares,
    lean: bool = False,
) -> Division:
    """The splits of the contents `alive`. `strata` tells of every label the stratum that is divided
    evenly, `near` tells of every content which one leads its near-
    duplicates, None when nobody asked. Contents of the previous version stay where they are. Where
    the task is `lean` one of several near-duplicates is kept."""
    own, old = contents.split[alive], contents.old[alive]
    if gathered.rows.timed:
        times = np.frombuffer(gathered.rows.times)[contents.first[alive]]
        series = None
        if gathered.by_series and gathered.rows.grouped:  # else there is one series alone
            series = gathered.rows.group_keys()[contents.first[alive]]
        split = by_time(times, own, shares, series)
    else:
        split = _in_groups(gathered, contents, alive, strata, near, shares)
    split[old] = own[old]
    nothing = np.zeros(len(alive), bool)
    if near is None:
        return Division(split, nothing, nothing)
    out = _strays(near[alive], split, own, old)
    return Division(
        split, out, _doubled(near[alive], near[alive] == alive, old, out) if lean else nothing
    )


def _in_groups(
    gathered: Gathered,
    contents: Contents,
    alive: np.ndarray,
    strata: np.ndarray,
    near: np.ndarray | None,
    shares: Shares,
) -> np.ndarray:
    """Splits by lot, one lot for all contents that belong together."""
    own, labels = contents.split[alive], strata[contents.label[alive]]
    keys = _together(gathered, contents, alive, near)
    if keys is None:
        return assign(gathered.rows.group_keys()[contents.first[alive]], labels, own, shares)
    groups, member, of_content = np.unique(keys, return_index=True, return_inverse=True)
    old = contents.old[alive]
    before = np.full(len(groups), AUTO, np.int8)
    np.maximum.at(before, of_content[old], own[old])
    wanted = np.full(len(groups), AUTO, np.int8)
    np.maximum.at(wanted, of_content, own)
    fixed = np.where(before == AUTO, wanted, before)
    return assign(groups, labels[member], fixed, shares)[of_content]


def _together(
    gathered: Gathered, contents: Contents, alive: np.ndarray, near: np.ndarray | None
) -> np.ndarray | None:
    """What each content is drawn with, uint64: the key of its group; without one, that of the
    first of its near-duplicates. None where each is alone."""
    rows = gathered.rows
    alone = near is None or bool((near[alive] == alive).all())
    if alone and not rows.grouped:
        return None
    keys = rows.group_keys()
    own: np.ndarray = keys[contents.first[alive]]
    if near is None:
        return own
    led: np.ndarray = keys[contents.first[near[alive]]]
    if not rows.grouped:
        return led
    single = own == rows.key_halves()[0][contents.first[alive]]
    return np.asarray(np.where(single, led, own))


def _strays(near: np.ndarray, split: np.ndarray, own: np.ndarray, old: np.ndarray) -> np.ndarray:
    """New contents that are left out, bool (n,). A near-duplicate of a test row of the version
    before, or of one that the user sent to test, is: the test split is theirs alone. So is one
    that stands in another split than its near-duplicates, be it because of its group or of its
    time: old rows go before new ones there, and what judges before what trains."""
    _, of_content = np.unique(near, return_inverse=True)
    groups = int(of_content.max()) + 1 if len(of_content) else 0
    sent = ~old & (own == _TEST) & (split == _TEST)
    frozen, before, after = (np.full(groups, AUTO, np.int8) for _ in range(3))
    judges = sent | (old & (split == _TEST))
    np.maximum.at(frozen, of_content[judges], split[judges])
    np.maximum.at(before, of_content[old], split[old])
    np.maximum.at(after, of_content, split)
    stands = np.where(frozen == AUTO, np.where(before == AUTO, after, before), frozen)[of_content]
    out: np.ndarray = ~old & ~sent & ((frozen[of_content] != AUTO) | (split != stands))
    return out


def _doubled(near: np.ndarray, leads: np.ndarray, old: np.ndarray, out: np.ndarray) -> np.ndarray:
    """New contents of which a near-duplicate is kept: an old one, or the first; bool (n,)."""
    kept = np.flatnonzero(~out)
    order = kept[np.lexsort((kept, ~leads[kept], ~old[kept], near[kept]))]
    first = np.diff(near[order], prepend=-1) != 0
    doubled = np.zeros(len(near), bool)
    doubled[order[~first]] = True
    found: np.ndarray = doubled & ~old
    return found
