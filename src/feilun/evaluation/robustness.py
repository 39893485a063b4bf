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
from feilun.families.base import Family
from feilun.metrics.comparison import gains, scores
from feilun.metrics.measured import Measured
from feilun.metrics.scores import Score
from feilun.modalities.noise import Disturbance
from feilun.types import Item, Output

__all__ = ["LARGE", "Fall", "Robustness", "robustness"]

LARGE = 0.05
"""A drop from which the verdict speaks of it, if the interval leaves no doubt that there is one."""
_LETTERS = 160
_DRAWS = 500

Answer = Callable[[Sequence[Item]], Sequence[Output]]


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
    draws: int = 1
    """Above 1 it was an attack: `after` is what was right in spite of all tries."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """What every safe change of the task did to `metric`, the worst first, on `rows` labelled test
    rows drawn from `of`."""

    rows: int
    of: int
    confidence: float
    falls: tuple[Fall, ...]
    metric: str = "accuracy"

    def large(self) -> tuple[Fall, ...]:
        """The drops that the verdict speaks of."""
        return tuple(
            one
            for one in self.falls
            if one.change.value <= -LARGE and one.change.high < 0 and one.draws == 1
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
    targets: Sequence[str | None],
    outputs: Sequence[Output],
    family: Family,
    disturbances: Mapping[str, Disturbance],
    *,
    limit: int,
    confidence: float = 0.95,
    seed: int = 0,
) -> Robustness | None:
    """Tries every safe change. `targets` and the `outputs` given so far are one for each of
    `items`, None for rows without a target; `answer` gives outputs for changed items. At most
    `limit` rows are asked, drawn by `seed`; None where there is nothing to try or to compare."""
    labelled = np.flatnonzero([target is not None for target in targets])
    safe = [one for one in disturbances.values() if one.safe]
    if not len(labelled) or not safe:
        return None
    drawn = labelled
    if len(labelled) > limit:
        drawn = np.sort(np.random.default_rng(seed).choice(labelled, limit, replace=False))
    originals = [items[int(row)] for row in drawn]
    falls = []
    for change in safe:
        if change.draws > 1:
            given = [outputs[row] for row in drawn.tolist()]
            truth = [str(targets[row]) for row in drawn.tolist()]
            changed, reached = _attacked(
                change, originals, given, truth, drawn, answer, family, seed
            )
        else:
            changed, reached = _changed(change, originals, drawn, seed), []
        touched = [n for n, item in enumerate(changed) if item != originals[n]]
        if not touched:
            continue
        rows = drawn[touched]
        now = [reached[n] for n in touched] if reached else answer([changed[n] for n in touched])
        was = [outputs[row] for row in rows.tolist()]
        wanted = [str(targets[row]) for row in rows.tolist()]
        scored = _scored(family.judged(wanted, now), family.judged(wanted, was), family, confidence)
        if scored is None:
            continue
        before, after, change_in = scored
        turned = [
            family.said(one) != family.said(other) for one, other in zip(now, was, strict=True)
        ]
        lost = [
            turn and family.said(one) == target
            for turn, one, target in zip(turned, was, wanted, strict=True)
        ]
        example = touched[lost.index(True) if True in lost else 0]
        falls.append(
            Fall(
                name=change.name,
                rows=len(touched),
                before=before,
                after=after,
                change=change_in,
                turned=sum(turned),
                was=_short(originals[example]),
                became=_short(changed[example]),
                draws=change.draws,
            )
        )
    falls.sort(key=lambda one: (one.change.value, one.name))
    if not falls:
        return None
    return Robustness(len(drawn), len(labelled), confidence, tuple(falls), family.primary)


def _changed(change: Disturbance, items: Sequence[Item], rows: np.ndarray, seed: int) -> list[Item]:
    """Each row by its own generator: what happens to it hangs on no other row or change."""
    mark = zlib.crc32(change.name.encode())
    return [
        change(item, np.random.default_rng((seed, mark, row)))
        for item, row in zip(items, rows.tolist(), strict=True)
    ]


def _attacked(
    change: Disturbance,
    items: Sequence[Item],
    given: Sequence[Output],
    truth: Sequence[str],
    rows: np.ndarray,
    answer: Answer,
    family: Family,
    seed: int,
) -> tuple[list[Item], list[Output]]:
    """Tries each rightly answered row until a changed one is answered otherwise, `change.draws`
    times at most. The last try of each row and its answer; the others stay as they are."""
    said = [family.said(one) for one in given]
    changed, now = list(items), list(given)
    left = [n for n, one in enumerate(said) if one == truth[n]]
    for tried in range(change.draws):
        part = [items[n] for n in left]
        shifted = _changed(change, part, rows[left], seed + 7919 * tried) if left else []
        answers = answer(shifted) if left else []
        for n, item, output in zip(left, shifted, answers, strict=True):
            changed[n], now[n] = item, output
        left = [n for n in left if family.said(now[n]) == said[n]]
    return changed, now


def _scored(
    now: Measured, was: Measured, family: Family, confidence: float
) -> tuple[Score, Score, Score] | None:
    """The metric before and after, and the paired gain; None where these rows do not define it."""
    metric = family.primary if family.primary in now.higher_is_better else "accuracy"
    before = scores(was, resamples=_DRAWS, confidence=confidence)[metric]
    after = scores(now, resamples=_DRAWS, confidence=confidence)[metric]
    gain = gains(now, was, resamples=_DRAWS, confidence=confidence).get(metric)
    if before is None or after is None or gain is None:
        return None
    return before, after, gain


def _short(item: Item) -> Shown:
    shown = show(item)
    if shown.text is None or len(shown.text) <= _LETTERS:
        return shown
    return Shown(shown.text[:_LETTERS], cut=shown.cut + len(shown.text) - _LETTERS)
