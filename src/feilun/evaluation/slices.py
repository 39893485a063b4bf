"""A metric on parts of the rows that a person would ask about: short and long texts, Chinese, one
source, one customer, whatever a column says.

Beside the live version each part is compared, corrected for the number of parts: of twenty parts
one looks worse by chance alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from feilun.evaluation.result import Slice
from feilun.metrics.comparison import judge, scores
from feilun.metrics.intervals import wilson
from feilun.metrics.measured import Measured
from feilun.metrics.paired import holm
from feilun.metrics.scores import Score

__all__ = ["Part", "divide", "measure", "slices"]

_ROWS = 20
"""A part with fewer rows says nothing and is left out; of a pair, its counterpart with it."""
_VALUES = 20
"""Values of a column that become parts, the most frequent."""
_PARTS = 60
_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_SHARE = 0.2
_DRAWS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows, as a mask, of which something can be said: see `Slice` for the names."""

    column: str
    name: str
    rows: np.ndarray
    limit: int | None = None


def slices(
    items: Sequence[object],
    measured: Measured,
    metric: str,
    confidence: float,
    *,
    before: Measured | None = None,
    columns: Mapping[str, Sequence[object]] | None = None,
    margin: float = 0.03,
) -> tuple[Slice, ...]:
    """The parts of `items` and of `columns`, which hold a value for each row: `metric` of the
    candidate's answers, and of those of the version that it is compared with (`before`)."""
    found = divide(items, columns or {})
    return measure(found, measured, metric, confidence, before=before, margin=margin)


def divide(items: Sequence[object], columns: Mapping[str, Sequence[object]]) -> list[Part]:
    """The parts with enough rows."""
    found: list[Part] = []
    first = items[0] if len(items) else None
    if isinstance(first, str):
        found += _texts(items)
    elif isinstance(first, Mapping):
        for name in first:
            values = [one.get(name) if isinstance(one, Mapping) else None for one in items]
            if not any(isinstance(value, bytes) for value in values[:100]):
                found += _column(str(name), values)
    for column, said in columns.items():
        found += _column(column, said)
    return found[:_PARTS]


def measure(
    parts: Sequence[Part],
    measured: Measured,
    metric: str,
    confidence: float,
    *,
    before: Measured | None = None,
    margin: float = 0.03,
) -> tuple[Slice, ...]:
    """Each part's `metric`, compared with `before` where it is given. A part whose rows do not
    define the metric is left out."""
    found = []
    for part in parts:
        mine = measured.take(part.rows)
        score = _score(mine, metric, confidence)
        theirs = None if before is None else before.take(part.rows)
        was = None if theirs is None else _score(theirs, metric, confidence)
        if score is None or (theirs is not None and was is None):
            continue
        one = Slice(part.name, mine.rows, score, part.limit, part.column)
        if theirs is not None:
            judged = judge(
                mine, theirs, metric, margin=0.0, resamples=_DRAWS, confidence=confidence
            )
            one = replace(one, before=was, gain=judged.gain, p=judged.loss_p)
        found.append(one)
    if before is None:
        return tuple(found)
    corrected = holm([one.p if one.p is not None else 1.0 for one in found])
    return tuple(
        replace(one, p=p, worse=p <= 1 - confidence and one.gain.value < -margin)
        for one, p in zip(found, corrected, strict=True)
        if one.gain is not None
    )


def _score(measured: Measured, metric: str, confidence: float) -> Score | None:
    right = measured.hits(metric)
    if right is not None:  # sixty parts of many rows would be resampled for nothing
        return wilson(int(right.sum()), measured.rows, confidence)
    return scores(measured, resamples=_DRAWS, confidence=confidence)[metric]


def _texts(items: Sequence[object]) -> Iterator[Part]:
    said = [str(text) for text in items]
    lengths = np.array([len(text) for text in said])
    chinese = np.array(
        [len(_CHINESE.findall(text[:1000])) > _SHARE * min(len(text), 1000) for text in said]
    )
    yield from _halves("", ("short", "long"), lengths, int(np.median(lengths)))
    if min(chinese.sum(), (~chinese).sum()) >= _ROWS:
        yield Part("", "chinese", chinese)
        yield Part("", "other", ~chinese)


def _halves(column: str, names: tuple[str, str], values: np.ndarray, limit: int) -> Iterator[Part]:
    low = values <= limit
    if min(low.sum(), (~low).sum()) >= _ROWS:
        yield Part(column, names[0], low, limit)
        yield Part(column, names[1], ~low, limit)


def _column(name: str, values: Sequence[object]) -> Iterator[Part]:
    """A column of many numbers in halves, any other by its most frequent values."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values) and len(set(numbers)) > _VALUES:
        array = np.array(numbers, dtype=np.float64)
        yield from _halves(name, ("low", "high"), array, int(np.median(array)))
        return
    counted = Counter(str(value) for value in values if value not in (None, ""))
    said = np.array(["" if value is None else str(value) for value in values])
    for value, count in sorted(counted.most_common(_VALUES), key=lambda pair: pair[0]):
        if _ROWS <= count < len(values):
            yield Part(name, value, said == value)
