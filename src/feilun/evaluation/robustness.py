"""How much of its accuracy a version keeps when the same rows come with typing slips, in another
width or script, blurred or compressed.

Each change is tried on a bounded sample of the test rows, and only the rows that it really changes
count, before and after: a change of case says nothing about Chinese rows. The difference is paired,
row by row, and has an interval.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from feilun.evaluation.showing import Shown, show
from feilun.metrics.intervals import paired_difference, wilson
from feilun.metrics.scores import Score
from feilun.tasks._noise import Disturbance
from feilun.types import Item

__all__ = ["LARGE", "Fall", "Robustness", "robustness"]

LARGE = 0.05
"""A drop from which the verdict speaks of it, if the interval leaves no doubt that there is one."""
_LETTERS = 160

Answer = Callable[[Sequence[Item]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Fall:
    """One change: `rows` of the sample that it changed, the accuracy `before` and `after` on them,
    the paired `change` (below 0 is a drop), how many answers `turned` to another label, and one row
    as it was and as it became."""

    name: str
    rows: int
    before: Score
    after: Score
    change: Score
    turned: int
    was: Shown
    became: Shown


@dataclass(frozen=True, slots=True)
class Robustness:
    """What every safe change of the task did, the worst first, on `rows` labelled test rows drawn
    from `of`."""

    rows: int
    of: int
    confidence: float
    falls: tuple[Fall, ...]

    def large(self) -> tuple[Fall, ...]:
        """The drops that the verdict speaks of."""
        return tuple(
            one for one in self.falls if one.change.value <= -LARGE and one.change.high < 0
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal value back."""
        plain: dict[str, Any] = TypeAdapter(Robustness).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Robustness:
        """What `to_json` wrote. Raises pydantic's `ValidationError` for anything else."""
        return TypeAdapter(Robustness).validate_python(raw)


def robustness(
    answer: Answer,
    items: Sequence[Item],
    truth: np.ndarray,
    answers: np.ndarray,
    disturbances: Mapping[str, Disturbance],
    *,
    limit: int,
    confidence: float = 0.95,
    seed: int = 0,
) -> Robustness | None:
    """Tries every safe change. `truth` and the `answers` given so far are label indices, one for
    each of `items`, -1 for rows without a label; `answer` gives the same for changed items. At most
    `limit` rows are asked, drawn by `seed`; None where there is nothing to try or to compare."""
    labelled = np.flatnonzero(np.asarray(truth) >= 0)
    safe = [one for one in disturbances.values() if one.safe]
    if not len(labelled) or not safe:
        return None
    drawn = labelled
    if len(labelled) > limit:
        drawn = np.sort(np.random.default_rng(seed).choice(labelled, limit, replace=False))
    originals = [items[int(row)] for row in drawn]
    falls = []
    for change in safe:
        changed = _changed(change, originals, drawn, seed)
        touched = [n for n, item in enumerate(changed) if item != originals[n]]
        if not touched:
            continue
        rows = drawn[touched]
        now = np.asarray(answer([changed[n] for n in touched]))
        right, was_right = now == truth[rows], answers[rows] == truth[rows]
        example = _example(touched, right, was_right)
        falls.append(
            Fall(
                name=change.name,
                rows=len(touched),
                before=wilson(int(was_right.sum()), len(touched), confidence),
                after=wilson(int(right.sum()), len(touched), confidence),
                change=paired_difference(right, was_right, confidence=confidence),
                turned=int((now != answers[rows]).sum()),
                was=_short(originals[example]),
                became=_short(changed[example]),
            )
        )
    falls.sort(key=lambda one: (one.change.value, one.name))
    return Robustness(len(drawn), len(labelled), confidence, tuple(falls)) if falls else None


def _changed(change: Disturbance, items: Sequence[Item], rows: np.ndarray, seed: int) -> list[Item]:
    """Each row by its own generator: what happens to it hangs on no other row or change."""
    mark = zlib.crc32(change.name.encode())
    return [
        change(item, np.random.default_rng((seed, mark, row)))
        for item, row in zip(items, rows.tolist(), strict=True)
    ]


def _example(touched: Sequence[int], right: np.ndarray, was_right: np.ndarray) -> int:
    """A row that the change cost; the first that it touched where it cost none."""
    lost = np.flatnonzero(was_right & ~right)
    return touched[int(lost[0])] if len(lost) else touched[0]


def _short(item: Item) -> Shown:
    shown = show(item)
    if shown.text is None or len(shown.text) <= _LETTERS:
        return shown
    return Shown(shown.text[:_LETTERS], cut=shown.cut + len(shown.text) - _LETTERS)
