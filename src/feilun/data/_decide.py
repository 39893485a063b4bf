"""Between the passes: which rows are kept, and in which split. Arrays only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from feilun.data._contents import Contents
from feilun.data._divide import divide
from feilun.data._gather import CORRECTION, WAITED, Gathered
from feilun.data.splits import AUTO, Shares

__all__ = ["Decision", "decide"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Row by row: `keep` (bool), `label` (number) and `split` (number) of kept rows; `waiting`
    (bool) rows whose label is too new. Contents: `moved` counts rows that came for another split
    than the one where their content stands, `near_test` contents that were left out because a
    near-duplicate stands where they may not, `near_out` those that were because one is kept (see
    `feilun.data._divide`)."""

    keep: np.ndarray
    waiting: np.ndarray
    label: np.ndarray
    split: np.ndarray
    moved: int
    near_test: int
    near_out: int = 0


def decide(
    gathered: Gathered,
    contents: Contents,
    strata: np.ndarray,
    shares: Shares,
    waiting_labels: Collection[int],
    near: np.ndarray | None = None,
    lean: bool = False,
) -> Decision:
    """Keeps one row of every content whose label is settled and divides them, each of the `strata`
    of labels evenly. `near` tells of every
    content which one leads its near-duplicates; of these one is kept where the task is `lean`."""
    waits = np.isin(contents.label, sorted(waiting_labels))
    alive = np.flatnonzero((contents.label >= 0) & ~waits)
    split = contents.split.copy()
    division = divide(gathered, contents, alive, strata, near, shares, lean)
    split[alive] = division.split
    alive = alive[~(division.out | division.doubled)]
    rows = len(contents.of_row)
    keep, waiting = np.zeros(rows, bool), np.zeros(rows, bool)
    keep[contents.first[alive]] = True
    waiting[contents.first[waits]] = True
    wanted = np.frombuffer(gathered.rows.splits, np.int8)
    stands = split[contents.of_row]
    # A correction of a row is no wish to have it in another split.
    sent = ~np.isin(np.frombuffer(gathered.rows.origins, np.int8), (CORRECTION, WAITED))
    moved = sent & (wanted != AUTO) & (wanted != stands) & np.isin(contents.of_row, alive)
    label = contents.label[contents.of_row]
    gone = division.out.sum(), division.doubled.sum()
    return Decision(keep, waiting, label, stands, int(moved.sum()), *map(int, gone))
