"""Between the passes: equal rows are one content, with one label. Arrays only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from feilun.data._gather import CORRECTION, LEFT_OUT, PREVIOUS, RELABEL, Gathered

__all__ = ["GONE", "UNDECIDED", "Contents", "begins", "group_contents", "spread"]

UNDECIDED, GONE = -1, -2
"""Instead of a label: no majority; left out on purpose."""
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Contents:
    """The different contents, n of them.

    `first` is the row that stands for each (the earliest), `size` its rows, `label` its label's
    number, `UNDECIDED` or `GONE`, `split` its split's number or `AUTO`. `old` tells
    contents of the previous version. `conflicts` counts contents that came with several labels,
    `corrected` marks old ones whose label a correction changed. `of_row` is each row's content.
    """

    first: np.ndarray
    size: np.ndarray
    label: np.ndarray
    split: np.ndarray
    old: np.ndarray
    corrected: np.ndarray
    conflicts: int
    of_row: np.ndarray


def spread(numbers: np.ndarray) -> np.ndarray:
    """Numbers (rows,) over 64 bits, so that they change a key by which they are taken, uint64; 0
    stays 0."""
    found: np.ndarray = numbers.astype(np.uint64) * _ODD
    return found


def begins(*columns: np.ndarray) -> np.ndarray:
    """Where a row of these sorted columns, each (rows,), differs from the one before it, bool
    (rows,); the first does."""
    found = np.ones(len(columns[0]), bool)
    found[1:] = np.logical_or.reduce([one[1:] != one[:-1] for one in columns])
    return found


def group_contents(gathered: Gathered, mended: bool = False) -> Contents:
    """Groups equal contents and settles their labels: a correction (the last one) goes before the
    previous version's label, and so does what most rows of a relabelling file say; that label goes
    before the majority of the rows. In a `mended` previous version
    several rows may have become equal: the one in the test split stands for them."""
    rows = gathered.rows
    high, low = rows.key_halves()
    labels = np.frombuffer(rows.labels, np.int32)
    splits = np.frombuffer(rows.splits, np.int8)
    origins = np.frombuffer(rows.origins, np.int8)
    if mended:
        stands = np.where(origins == PREVIOUS, -splits, np.where(origins == LEFT_OUT, 2, 1))
        order = np.lexsort((stands, low, high))
    else:
        order = np.lexsort((low, high))  # stable: equal contents stay in the order they came in
    new = begins(high[order], low[order])
    starts = np.flatnonzero(new)
    number = np.cumsum(new) - 1
    of_row = np.empty(len(order), np.int64)
    of_row[order] = number
    first = order[starts]
    label = labels[first].copy()
    old = origins[first] == PREVIOUS
    split = np.maximum.reduceat(splits[order], starts)
    split[old] = splits[first[old]]
    corrected = np.zeros(len(first), bool)
    differs = np.logical_or.reduceat(labels[order] != label[number], starts)
    ends = np.append(starts[1:], len(order))
    for content in np.flatnonzero(differs).tolist():
        members = order[starts[content] : ends[content]]
        chosen = _settle(labels[members], origins[members])
        corrected[content] = bool(old[content]) and chosen != label[content]
        label[content] = chosen
    label[origins[first] == LEFT_OUT] = GONE
    return Contents(first, ends - starts, label, split, old, corrected, int(differs.sum()), of_row)


def _settle(labels: np.ndarray, origins: np.ndarray) -> int:
    corrections = labels[origins == CORRECTION]
    if len(corrections):
        return int(corrections[-1])
    if origins[0] == PREVIOUS:
        renewed = _majority(labels[origins == RELABEL])
        return int(labels[0]) if renewed == UNDECIDED else renewed
    return _majority(labels)


def _majority(labels: np.ndarray) -> int:
    counts = Counter(labels.tolist()).most_common(2)
    if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return UNDECIDED
    return int(counts[0][0])
