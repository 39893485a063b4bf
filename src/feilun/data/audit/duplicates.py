"""Rows that say the same: exactly, nearly, with different labels, on both sides of a division."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feilun.data._contents import begins
from feilun.data.audit.finding import EXAMPLES, Draft, Finding, Mend, Severity
from feilun.data.audit.scan import Scan
from feilun.data.outcome import Notice
from feilun.data.splits import SPLITS

__all__ = ["conflicts", "exact", "first_of", "leakage", "near"]

_BAD_SHARE, _WARN_SHARE = 0.05, 0.005
_DOUBLED = 1 / 3
"""The share of equal observations from which on somebody seems to have copied them."""


@dataclass(frozen=True, slots=True)
class _Groups:
    """Rows sorted by group: `order` their places, `starts` where each group of two or more begins
    in it, `sizes` its rows."""

    order: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray

    def members(self, group: int) -> np.ndarray:
        start = int(self.starts[group])
        return self.order[start : start + int(self.sizes[group])]


def first_of(scan: Scan) -> np.ndarray:
    """The first row with the same content, int64 (n,); the row itself where there is none."""
    order = np.lexsort((scan.keys[:, 1], scan.keys[:, 0]))
    new = begins(*scan.keys[order].T)
    first = np.empty(len(order), np.int64)
    first[order] = order[np.flatnonzero(new)][np.cumsum(new) - 1]
    return first


def _groups(first: np.ndarray) -> _Groups:
    order = np.argsort(first, kind="stable")
    starts = np.flatnonzero(np.diff(first[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    many = sizes > 1
    return _Groups(order, starts[many], sizes[many])


def exact(
    scan: Scan, first: np.ndarray, basis: Notice, mend: Mend, observations: bool = False
) -> list[Draft]:
    """Rows whose content came before; of `observations`, which may be equal, with its target."""
    again = first != np.arange(len(first))
    count = int(again.sum())
    if not count:
        return []
    groups = _groups(first)
    largest = np.argsort(-groups.sizes, kind="stable")[:EXAMPLES]
    severity = _severity(count, len(scan))
    code = "exact_duplicates"
    if observations:
        severity = "warn" if count > _DOUBLED * len(scan) else "info"
        code = "equal_rows"
    params = {"contents": len(groups.sizes), "largest": int(groups.sizes.max())}
    return [
        Draft(
            Finding(code, severity, count, len(scan), basis, params, (), None, *mend),
            [(int(groups.members(g)[0]),) for g in largest.tolist()],
            [Notice("audit.note_times", {"rows": int(groups.sizes[g])}) for g in largest.tolist()],
        )
    ]


def _severity(count: int, of: int) -> Severity:
    return "bad" if count > _BAD_SHARE * of else "warn" if count > _WARN_SHARE * of else "info"


def near(
    scan: Scan, first: np.ndarray, group: np.ndarray, basis: Notice, mend: Mend
) -> list[Draft]:
    """Rows that differ from an earlier one in a character, punctuation, width or case; equal ones
    are not counted again."""
    again = (group != np.arange(len(group))) & (first == np.arange(len(first)))
    count = int(again.sum())
    if not count:
        return []
    rows = np.flatnonzero(again)
    # Shown from the middle of what there is, not all from one place of the file.
    chosen = rows[np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows))).astype(int)]
    severity = _severity(count, len(scan))
    params = {"groups": len(np.unique(group[rows]))}
    return [
        Draft(
            Finding("near_duplicates", severity, count, len(scan), basis, params, (), None, *mend),
            [(int(group[row]), int(row)) for row in chosen.tolist()],
        )
    ]


def conflicts(
    scan: Scan,
    first: np.ndarray,
    group: np.ndarray | None,
    basis: Notice,
    mend: Mend,
) -> list[Draft]:
    """The same text with different labels; then nearly the same text with different labels."""
    found = _conflicts("conflicts", scan, first, basis, mend)
    if group is not None:
        heads = np.flatnonzero(first == np.arange(len(first)))
        found += _conflicts("near_conflicts", scan, group, basis, mend, only=heads)
    return found


def _conflicts(
    code: str,
    scan: Scan,
    group: np.ndarray,
    basis: Notice,
    mend: Mend,
    only: np.ndarray | None = None,
) -> list[Draft]:
    rows = np.flatnonzero(scan.labels >= 0) if only is None else only[scan.labels[only] >= 0]
    labels = scan.labels[rows]
    groups = _groups(group[rows])
    lost, count = 0, 0
    torn: list[tuple[int, int]] = []
    for number in np.flatnonzero(_differ(groups, labels)).tolist():
        members = groups.members(number)
        other = members[labels[members] != labels[members[0]]][0]
        torn.append((int(rows[members[0]]), int(rows[other])))
        lost += len(members) - int(np.bincount(labels[members]).max())
        count += len(members)
    if not torn:
        return []
    of = len(rows)
    severity: Severity = "bad" if lost > 0.01 * of else "warn"
    cost = Notice("audit.cost_conflicts", {"rows": lost, "of": of, "ceiling": 1 - lost / of})
    params = {"contents": len(torn)}
    return [
        Draft(Finding(code, severity, count, of, basis, params, (), cost, *mend), torn[:EXAMPLES])
    ]


def _differ(groups: _Groups, labels: np.ndarray) -> np.ndarray:
    """Which groups have more than one label, bool (groups,)."""
    if not len(groups.starts):
        return np.zeros(0, bool)
    ordered = labels[groups.order]
    changes = np.append(False, ordered[1:] != ordered[:-1])
    before = np.append(0, np.cumsum(changes))
    # A change at a group's own first row is one against another group.
    inside: np.ndarray = before[groups.starts + groups.sizes] > before[groups.starts + 1]
    return inside


def leakage(
    scan: Scan, group: np.ndarray, basis: Notice, mend: Mend, cost: Notice | None = None
) -> list[Draft]:
    """Rows that judge (test, validation) and have a near-duplicate that trains."""
    trains = np.zeros(len(group), bool)
    trains[group[scan.splits == 0]] = True
    twin = np.full(len(group), -1, np.int64)
    training = np.flatnonzero(scan.splits == 0)[::-1]
    twin[group[training]] = training
    leaked = np.flatnonzero((scan.splits > 0) & trains[group])
    if not len(leaked):
        return []
    judged = int((scan.splits > 0).sum())
    by_split = {
        name: int((scan.splits[leaked] == number).sum()) for number, name in enumerate(SPLITS)
    }
    severity: Severity = "bad" if len(leaked) > 0.01 * judged else "warn"
    params = {"test": by_split["test"], "validation": by_split["validation"]}
    return [
        Draft(
            Finding("leakage", severity, len(leaked), judged, basis, params, (), cost, *mend),
            [(int(twin[group[row]]), int(row)) for row in leaked[:EXAMPLES].tolist()],
        )
    ]
