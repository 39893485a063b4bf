"""Columns of a table in bins that differ by how often a label occurs in them, as scorecards want
them: few, wide enough to be believed, readable, monotone where that is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Binned", "categories", "numbers"]

_DIGITS = 3  # that count of a bin's end
_SMOOTH = 1.0  # rows of the overall share that a bin is thought to have besides its own


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """A column in bins: `ends` of numbers (the last bin has none), or `groups` of categories (the
    last takes all others). `bins` is each row's, -1 where the value is missing; `weights` are the
    log-odds of the label in each bin over those of all rows (weight of evidence), and `missing`
    that of missing values, 0 where there are too few. `counts` are (bins + 1, 2): rows, and those
    with the label; the last line is of missing values."""

    bins: np.ndarray
    weights: np.ndarray
    missing: float
    counts: np.ndarray
    ends: tuple[float, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()

    @property
    def scores(self) -> np.ndarray:
        """The weight of each row's bin."""
        found: np.ndarray = np.append(self.weights, self.missing)[self.bins]
        return found

    @property
    def information(self) -> float:
        """The information value: how far the label's rows and the others lie apart, in sum."""
        other = self.counts[:, 0] - self.counts[:, 1]
        shares = self.counts[:, 1] / max(1, self.counts[:, 1].sum()) - other / max(1, other.sum())
        return float(shares @ np.append(self.weights, self.missing))


def numbers(
    values: np.ndarray, has: np.ndarray, *, most: int, least: int, monotone: int = 0
) -> Binned:
    """Up to `most` bins of `values` (NaN: missing), each of `least` rows at least, cut where a
    small decision tree cuts. With `monotone` 1 the share of rows with the label only grows with the
    value, with -1 it only falls: neighbours that disagree become one bin."""
    from sklearn.tree import DecisionTreeClassifier

    known = ~np.isnan(values)
    ends: list[float] = []
    if known.sum() >= 2 * least and len(np.unique(has[known])) > 1:
        tree = DecisionTreeClassifier(max_leaf_nodes=max(2, most), min_samples_leaf=least)
        tree.fit(values[known, None], has[known])
        found = tree.tree_.threshold[tree.tree_.feature >= 0]
        cuts = {float(one) for one in found}
        short = {_readable(one) for one in cuts}
        ends = sorted(short if len(short) == len(cuts) else cuts)
    while True:
        places = np.where(known, np.searchsorted(ends, values, side="right"), -1)
        binned = _weighed(places, has, len(ends) + 1, least)
        steps = np.sign(np.diff(binned.weights)) * monotone
        thin = np.flatnonzero(binned.counts[:-1, 0] < least)
        if len(ends) and len(thin):
            ends.pop(max(0, int(thin[0]) - 1))
        elif monotone and (steps < 0).any():
            ends.pop(int(np.argmax(steps < 0)))
        else:
            return Binned(
                binned.bins, binned.weights, binned.missing, binned.counts, ends=tuple(ends)
            )


def categories(values: Sequence[str | None], has: np.ndarray, *, most: int, least: int) -> Binned:
    """Up to `most` groups of categories with shares that are alike, and one of all others: those
    in fewer than `least` rows, and those that training never saw."""
    names, codes = np.unique([one or "" for one in values], return_inverse=True)
    missing = np.array([one is None for one in values], bool)
    counts = np.bincount(codes[~missing], minlength=len(names))
    labelled = np.bincount(codes[~missing], weights=has[~missing], minlength=len(names))
    frequent = np.flatnonzero(counts >= least)
    order = frequent[np.argsort(labelled[frequent] / counts[frequent], kind="stable")]
    groups = [[int(one)] for one in order]
    while len(groups) > most:
        shares = [labelled[one].sum() / counts[one].sum() for one in groups]
        nearest = int(np.argmin(np.diff(shares)))
        groups[nearest : nearest + 2] = [groups[nearest] + groups[nearest + 1]]
    group_of = np.full(len(names), len(groups), np.int64)
    for place, members in enumerate(groups):
        group_of[members] = place
    places = np.where(missing, -1, group_of[codes])
    found = _weighed(places, has, len(groups) + 1, 1)
    named = tuple(tuple(str(names[one]) for one in members) for members in groups)
    return Binned(found.bins, found.weights, found.missing, found.counts, groups=named)


def _readable(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}") if abs(value) < 10**_DIGITS else float(round(value))


def _weighed(places: np.ndarray, has: np.ndarray, bins: int, least: int) -> Binned:
    """Bins with their weights; places below 0 are missing values."""
    shifted = np.where(places < 0, bins, places)
    rows = np.bincount(shifted, minlength=bins + 1)
    labelled = np.bincount(shifted, weights=has, minlength=bins + 1)
    share = min(max(has.mean(), 1e-6), 1 - 1e-6)
    odds = (labelled + _SMOOTH * share) / (rows - labelled + _SMOOTH * (1 - share))
    weights = np.log(odds * (1 - share) / share)
    counts = np.column_stack([rows, labelled])
    missing = float(weights[-1]) if rows[-1] >= least else 0.0
    return Binned(places, weights[:-1], missing, counts)
