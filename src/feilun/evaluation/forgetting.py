"""What an update gained and what it forgot: the old version and the new on the same rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from feilun.config import EvaluationConfig
from feilun.evaluation.result import Flip, Forgetting, Held, Slice
from feilun.evaluation.showing import show
from feilun.evaluation.slices import divide, measure
from feilun.families.base import Answers, Sheet
from feilun.metrics.comparison import Judged, judge, scores
from feilun.metrics.intervals import wilson
from feilun.metrics.measured import Measured
from feilun.metrics.paired import holm, loss_p
from feilun.metrics.scores import Score
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
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
    task = tasks.get(schema.task)
    family = task.family
    labelled = np.flatnonzero(family.known(truth))
    sheet = family.sheet(
        replace(after, raw=after.raw[labelled]),
        {"live": replace(before, raw=before.raw[labelled])},
        np.asarray(truth)[labelled],
        schema.labels,
    )
    now, was = sheet.measured, sheet.others["live"]
    ids = set(row_ids if old_rows is None else old_rows)
    old = np.array([row_ids[int(row)] in ids for row in labelled], dtype=bool)
    won, lost = (rows & old for rows in sheet.better("live"))
    rows = int(old.sum())
    strata = [family.stratum(target) for target in sheet.targets()]
    right, was_right = now.hits(family.primary), was.hits(family.primary)
    classes: tuple[Held, ...] = ()
    if right is not None and was_right is not None:
        space = tuple(dict.fromkeys([*schema.labels, *strata]))
        classes = _held(strata, old, was_right, right, space)
    pair = _Pair(family.primary, settings, task)
    judged = pair.judge(now.take(old), was.take(old)) if rows else None
    return Forgetting(
        before_name=before.name,
        after_name=after.name,
        rows=rows,
        gained=int(won.sum()),
        forgotten=int(lost.sum()),
        before=pair.score(was, old),
        after=pair.score(now, old),
        change=judged.gain if judged else None,
        risk=judged.risk if judged else 0.0,
        p=judged.loss_p if judged else None,
        fresh_rows=int((~old).sum()),
        fresh_before=pair.score(was, ~old),
        fresh_after=pair.score(now, ~old),
        classes=classes,
        examples=_examples(sheet, lost, classes, strata, labelled, items, row_ids),
        parts=pair.parts(items, labelled[old], now.take(old), was.take(old), columns or {})
        if rows
        else (),
    )


class _Pair:
    """Scores of the two versions by one metric."""

    def __init__(self, metric: str, settings: EvaluationConfig, task: TaskBase) -> None:
        self._metric, self._settings, self._task = metric, settings, task

    def score(self, measured: Measured, rows: np.ndarray) -> Score | None:
        if not rows.any():
            return None
        part = measured.take(rows)
        right = part.hits(self._metric)
        if right is not None:
            return wilson(int(right.sum()), part.rows, self._settings.confidence)
        return scores(part, confidence=self._settings.confidence)[self._metric]

    def judge(self, now: Measured, was: Measured) -> Judged | None:
        settings = self._settings
        try:
            return judge(
                now,
                was,
                self._metric,
                margin=settings.forget_margin,
                confidence=settings.confidence,
            )
        except ValueError:  # the old rows do not define the metric
            return None

    def parts(
        self,
        items: Sequence[Item],
        old: np.ndarray,
        now: Measured,
        was: Measured,
        columns: Mapping[str, Sequence[object]],
    ) -> tuple[Slice, ...]:
        """The old rows in parts. Items that hold media are not read for it."""
        places = old.tolist()
        texts = [items[row] for row in places] if isinstance(items[places[0]], str) else []
        texts = [self._task.described(text) for text in texts]
        found = divide(texts, {name: [v[row] for row in places] for name, v in columns.items()})
        return measure(
            found,
            now,
            self._metric,
            self._settings.confidence,
            before=was,
            margin=self._settings.slice_margin,
        )


def _examples(
    sheet: Sheet,
    lost: np.ndarray,
    classes: Sequence[Held],
    strata: Sequence[str],
    labelled: np.ndarray,
    items: Sequence[Item],
    row_ids: Sequence[str],
) -> tuple[Flip, ...]:
    """Rows that turned wrong, those of the strata that lost most first."""
    net = {one.label: one.after - one.before for one in classes}
    places = np.flatnonzero(lost)
    worst = np.argsort([net.get(strata[place], 0) for place in places.tolist()], kind="stable")
    flips = []
    for place in places[worst][:_EXAMPLES].tolist():
        row = int(labelled[place])
        shown = show(items[row])
        truth, before, after = sheet.spoken(place)
        flips.append(Flip(row_ids[row], truth, before, after, shown.text, shown.image, shown.cut))
    return tuple(flips)


def _held(
    strata: Sequence[str],
    old: np.ndarray,
    was_right: np.ndarray,
    is_right: np.ndarray,
    space: tuple[str, ...],
) -> tuple[Held, ...]:
    """Strata that have old rows, in the schema's order."""
    place_of = {name: place for place, name in enumerate(space)}
    truth = np.array([place_of[name] for name in strata], np.int64)
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
