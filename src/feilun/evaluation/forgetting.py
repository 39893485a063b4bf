"""What an update gained and what it forgot: the old version and the new on the same rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from feilun.config import EvaluationConfig
from feilun.evaluation.answers import Answers, align, label_space
from feilun.evaluation.result import Flip, Forgetting, Held, Slice
from feilun.evaluation.showing import show
from feilun.evaluation.slices import divide, measure
from feilun.metrics.intervals import paired_difference, paired_risk, wilson
from feilun.metrics.paired import holm, loss_p
from feilun.metrics.share import Share
from feilun.types import Item, Schema

__all__ = ["forgetting"]

_EXAMPLES = 10


def forgetting(
    before: Answers,
    after: Answers,
    truth: np.ndarray,
    *,
    items: Sequence[Item],
    row_ids: Sequence[str],
    schema: Schema,
    settings: EvaluationConfig,
    old_rows: Collection[str] | None = None,
    columns: Mapping[str, Sequence[object]] | None = None,
) -> Forgetting:
    """Compares the two versions on the test rows; arguments as in `evaluate`.

    `old_rows` are the ids of the rows that `before` was judged on; the others count as fresh. None:
    all rows are old. `columns` divide the old rows: ``month``, when they came in, and what the
    evaluation divides by. The examples come from the labels that lost most.
    """
    truth = np.asarray(truth, dtype=np.int64)
    space = label_space(schema.labels, (before, after))
    was, now = align(before, space).argmax(axis=1), align(after, space).argmax(axis=1)
    ids = set(row_ids if old_rows is None else old_rows)
    labelled = truth >= 0
    old = labelled & np.array([row in ids for row in row_ids], dtype=bool)
    fresh = labelled & ~old
    was_right, is_right = was == truth, now == truth
    lost = np.flatnonzero(old & was_right & ~is_right)
    confidence = settings.confidence
    rows, fresh_rows = int(old.sum()), int(fresh.sum())

    classes = _held(truth, old, was_right, is_right, space)
    net = {one.label: one.after - one.before for one in classes}
    worst = np.argsort([net[space[int(truth[row])]] for row in lost], kind="stable")
    flips = []
    for row in lost[worst][:_EXAMPLES].tolist():
        shown = show(items[row])
        label, answer = space[int(truth[row])], space[int(now[row])]
        flips.append(Flip(row_ids[row], label, label, answer, shown.text, shown.image, shown.cut))
    return Forgetting(
        before_name=before.name,
        after_name=after.name,
        rows=rows,
        gained=int((old & ~was_right & is_right).sum()),
        forgotten=len(lost),
        before=wilson(int(was_right[old].sum()), rows, confidence) if rows else None,
        after=wilson(int(is_right[old].sum()), rows, confidence) if rows else None,
        change=paired_difference(is_right[old], was_right[old], confidence=confidence)
        if rows
        else None,
        risk=paired_risk(is_right[old], was_right[old], settings.margin) if rows else 0.0,
        fresh_rows=fresh_rows,
        fresh_before=wilson(int(was_right[fresh].sum()), fresh_rows, confidence)
        if fresh_rows
        else None,
        fresh_after=wilson(int(is_right[fresh].sum()), fresh_rows, confidence)
        if fresh_rows
        else None,
        classes=classes,
        examples=tuple(flips),
        parts=_parts(items, old, was_right, is_right, columns or {}, settings) if rows else (),
    )


def _parts(
    items: Sequence[Item],
    old: np.ndarray,
    was_right: np.ndarray,
    is_right: np.ndarray,
    columns: Mapping[str, Sequence[object]],
    settings: EvaluationConfig,
) -> tuple[Slice, ...]:
    """The old rows in parts. Items that hold media are not read for it."""
    places = np.flatnonzero(old).tolist()
    texts = [items[row] for row in places] if isinstance(items[places[0]], str) else []
    found = divide(texts, {name: [v[row] for row in places] for name, v in columns.items()})
    return measure(
        found,
        Share(is_right[old]),
        "accuracy",
        settings.confidence,
        before=Share(was_right[old]),
        margin=settings.slice_margin,
    )


def _held(
    truth: np.ndarray,
    old: np.ndarray,
    was_right: np.ndarray,
    is_right: np.ndarray,
    space: tuple[str, ...],
) -> tuple[Held, ...]:
    """Labels that have old rows, in the schema's order."""
    rows = np.bincount(truth[old], minlength=len(space)).tolist()
    before = np.bincount(truth[old & was_right], minlength=len(space)).tolist()
    after = np.bincount(truth[old & is_right], minlength=len(space)).tolist()
    present = [place for place, count in enumerate(rows) if count]
    p = holm([_p(truth, old, was_right, is_right, place) for place in present])
    return tuple(
        Held(space[place], rows[place], before[place], after[place], chance)
        for place, chance in zip(present, p, strict=True)
    )


def _p(
    truth: np.ndarray, old: np.ndarray, was_right: np.ndarray, is_right: np.ndarray, place: int
) -> float:
    mine = old & (truth == place)
    return loss_p(is_right[mine], was_right[mine])
