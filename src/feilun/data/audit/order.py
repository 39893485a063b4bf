"""The order of the rows: sorted by label, or labels that move along the file or with time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from feilun.data.audit.finding import Draft, Finding, Severity
from feilun.data.outcome import Notice

__all__ = ["Drift", "drift", "order", "times"]

_BLOCKS = 20
_LEAST = 200
"""Rows below which shares of blocks are noise."""
_EFFECT = 0.12
"""Cramér's V from which a movement is worth a word; chance is ruled out besides."""
_SORTED = 0.5
"""Part of the way from guessing to knowing that the place in the file goes."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How the labels move over blocks of rows in an order: `effect` (Cramér's V), `chance` (its p),
    `known` (share of labels that the block alone tells), `guess` (the most frequent label's share);
    the label that moved most with its share in the first and the last fifth."""

    effect: float
    chance: float
    known: float
    guess: float
    label: int
    begin: float
    end: float

    @property
    def told(self) -> float:
        """How far the place alone goes from guessing (0) to knowing (1)."""
        return (self.known - self.guess) / (1 - self.guess) if self.guess < 1 else 0.0


def drift(labels: np.ndarray, count: int) -> Drift | None:
    """The movement of `labels` (in their order); None for too few rows or one label."""
    labels = labels[labels >= 0]
    if len(labels) < _LEAST or len(np.unique(labels)) < 2:
        return None
    from scipy.stats import chi2

    block = np.arange(len(labels)) * _BLOCKS // len(labels)
    table = np.bincount(block * count + labels, minlength=_BLOCKS * count)
    table = table.reshape(_BLOCKS, count)[:, np.bincount(labels, minlength=count) > 0]
    present = np.flatnonzero(np.bincount(labels, minlength=count))
    total = table.sum()
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    degrees = (_BLOCKS - 1) * (len(present) - 1)
    # Chance alone makes the statistic as large as its degrees of freedom.
    effect = max(0.0, statistic - degrees) / (total * min(_BLOCKS - 1, len(present) - 1))
    fifth = max(1, _BLOCKS // 5)
    begin = table[:fifth].sum(axis=0) / table[:fifth].sum()
    end = table[-fifth:].sum(axis=0) / table[-fifth:].sum()
    moved = int(np.abs(end - begin).argmax())
    return Drift(
        effect=float(np.sqrt(effect)),
        chance=float(chi2.sf(statistic, degrees)),
        known=float(table.max(axis=1).sum() / total),
        guess=float(table.sum(axis=0).max() / total),
        label=int(present[moved]),
        begin=float(begin[moved]),
        end=float(end[moved]),
    )


def order(
    labels: np.ndarray,
    names: tuple[str, ...],
    basis: Notice,
    *,
    column: str = "",
    places: np.ndarray | None = None,
) -> list[Draft]:
    """Whether the order of the rows tells their label. `column` is that of the time by which they
    were sorted, empty for the order of the file; `places` are the rows, for the examples."""
    found = drift(labels, len(names))
    if found is None or found.effect < _EFFECT or found.chance > 1e-6:
        return []
    labelled = np.flatnonzero(labels >= 0)
    rows = labelled if places is None else places[labelled]
    sorted_ = not column and found.told > _SORTED
    code = "sorted" if sorted_ else "drift_in_time" if column else "drift"
    severity: Severity = "warn"
    params = {
        "label": names[found.label],
        "begin": found.begin,
        "end": found.end,
        "effect": round(found.effect, 3),
        "known": found.known,
        "guess": found.guess,
        "column": column,
    }
    cost = Notice(
        "audit.cost_sorted" if sorted_ else "audit.cost_drift",
        {"known": found.known, "guess": found.guess, "label": names[found.label],
         "begin": found.begin, "end": found.end},
    )  # fmt: skip
    finding = Finding(code, severity, len(labelled), len(labels), basis, params, (), cost)
    shown = [(int(rows[at]),) for at in (0, len(rows) // 2, len(rows) - 1)]
    return [Draft(finding, shown)]


def times(values: Sequence[Any]) -> np.ndarray | None:
    """Seconds of a column of dates, float64 (n,), NaN for the few that are none; None for a column
    of anything else, or of hardly any different times."""
    found = np.array([_seconds(value) for value in values])
    known = found[np.isfinite(found)]
    if len(known) < 0.95 * len(found) or len(np.unique(known)) < _BLOCKS:
        return None
    return found


def _seconds(value: Any) -> float:
    if not isinstance(value, datetime):
        text = str(value if value is not None else "").strip().replace("/", "-")
        if not 8 <= len(text) <= 40 or text.isdigit():
            return float("nan")
        try:
            value = datetime.fromisoformat(text)
        except ValueError:
            return float("nan")
    naive = value.replace(tzinfo=None)  # zones move a row by hours, not between blocks
    return float((naive - datetime(1970, 1, 1)).total_seconds())  # noqa: DTZ001 - both without a zone
