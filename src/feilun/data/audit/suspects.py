"""Likely wrong labels, by confident learning on out-of-fold probabilities.

Northcutt, Jiang, Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70
(2021). A row counts for label j where its probability of j reaches the mean that rows given j have;
a row given i that counts for j is suspect. How often the flags are right on known flips is
measured by ``benchmarks/evidence/labels.py``; no more is claimed for them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from feilun.data.audit.finding import EXAMPLES, Draft, Finding, Mend, Severity
from feilun.data.outcome import Notice
from feilun.store.files import write_atomically

__all__ = ["COLUMNS", "Suspects", "find", "finding", "write"]

COLUMNS = ("row_id", "label", "keep", "given", "suggested", "margin", "text")
"""Of the file that a person reviews. `label` and `keep` are empty: whoever looks writes the right
label, or ``no`` into `keep` to drop the row. What stays empty stays as it is, so that a file that
nobody looked at changes nothing."""

_LEAST = 5
"""Rows of a label below which nothing is said about it."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """Rows by place in the sample, the most suspect first: `suggested` is the label that fits
    better, `margin` its probability less that of the given one."""

    rows: np.ndarray
    suggested: np.ndarray
    margin: np.ndarray


def find(labels: np.ndarray, probabilities: np.ndarray) -> Suspects:
    """Which of `labels` (n,) do not fit their out-of-fold `probabilities` (n, labels).

    -1 is no label and never suspect; nor are labels of fewer than five rows, for which nothing
    could be learnt.
    """
    count = probabilities.shape[1]
    known = labels >= 0
    sizes = np.bincount(labels[known], minlength=count)
    usual = np.full(count, np.inf)
    for label in np.flatnonzero(sizes >= _LEAST).tolist():
        usual[label] = probabilities[labels == label, label].mean()
    reaches = probabilities >= usual
    best = np.where(reaches, probabilities, -1.0).argmax(axis=1)
    given = np.where(known, labels, 0)
    rare = sizes[given] < _LEAST
    suspect = known & ~rare & reaches.any(axis=1) & (best != given)
    suspect &= probabilities.argmax(axis=1) != given
    rows = np.flatnonzero(suspect)
    margin = probabilities[rows, best[rows]] - probabilities[rows, given[rows]]
    order = np.argsort(-margin, kind="stable")
    return Suspects(rows[order], best[rows][order], margin[order])


def finding(
    found: Suspects,
    labels: np.ndarray,
    names: Sequence[str],
    places: Sequence[int],
    basis: Notice,
    file: str,
    mend: Mend,
    accuracy: float,
) -> list[Draft]:
    """The finding for a sample whose rows are `places`. `accuracy` is that of the answers that the
    flags come from."""
    count = len(found.rows)
    if not count:
        return []
    of = int((labels >= 0).sum())
    given = labels[found.rows]
    pairs: dict[tuple[int, int], int] = {}
    for one in zip(given.tolist(), found.suggested.tolist(), strict=True):
        pairs[one] = pairs.get(one, 0) + 1
    most = sorted(pairs.items(), key=lambda pair: -pair[1])[:EXAMPLES]
    params = {
        "file": file,
        "accuracy": accuracy,
        "pairs": [f"{names[a]} → {names[b]} ({rows:,})" for (a, b), rows in most],
    }
    cost = Notice("audit.cost_suspects", {"ceiling": 1 - count / of})
    severity: Severity = "warn" if count > 0.02 * of else "info"
    made = Finding("suspects", severity, count, of, basis, params, (), cost, *mend)
    notes = [
        Notice("audit.note_suspect", {"label": names[label], "margin": float(margin)})
        for label, margin in zip(found.suggested.tolist(), found.margin.tolist(), strict=True)
    ]
    return [Draft(made, [(places[row],) for row in found.rows[:EXAMPLES].tolist()], notes)]


def write(
    file: Path,
    found: Suspects,
    labels: np.ndarray,
    names: Sequence[str],
    rows: Mapping[int, tuple[str, str]],
) -> None:
    """The suspects as CSV, for a person to review; `rows` gives the id and the text of each place
    in the sample. With a byte order mark, without which Excel shows Chinese as noise."""
    lines = (
        (
            rows[row][0],
            "",
            "",
            names[int(labels[row])],
            names[label],
            f"{margin:.3f}",
            rows[row][1],
        )
        for row, label, margin in zip(
            found.rows.tolist(), found.suggested.tolist(), found.margin.tolist(), strict=True
        )
    )
    held = io.StringIO(newline="")
    writer = csv.writer(held)
    writer.writerow(COLUMNS)
    writer.writerows(lines)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, held.getvalue().encode("utf-8-sig"))
