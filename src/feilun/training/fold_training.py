"""Answers out of fold of a method that keeps none by itself: it is trained once for each fold, on
the training rows outside it, and answers those inside.

The folds come before the training that makes the version, so that a kill costs what was under way
alone: answers to whole folds are kept in the scratch folder.
"""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from feilun.engines.base import open_engine
from feilun.messages import t
from feilun.store.dataset import Dataset
from feilun.store.dataset_part import write_part
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import out_of_fold
from feilun.training.job import Method, Report, TrainJob
from feilun.training.replan import shortened
from feilun.training.rows import Rows, read
from feilun.training.settings import method
from feilun.types import Progress

__all__ = ["FoldAnswers", "by_itself", "can_be_folded", "train_folds"]


@dataclass(frozen=True, slots=True, eq=False)
class FoldAnswers:
    """The raw outputs `raw` of the rows `ids`, which took `seconds`. None of both where the time
    did not suffice, which `notes` tell."""

    ids: tuple[str, ...] | None
    raw: np.ndarray | None
    seconds: float
    notes: tuple[str, ...] = ()


def by_itself(name: str, task: TaskBase) -> bool:
    """Whether the method keeps answers out of fold without being trained again."""
    return getattr(method(name), "folded", False) and not task.family.by_position


def can_be_folded(name: str, task: TaskBase) -> bool:
    """Whether trainings on folds say how the method does: it learns from rows alone, and not from
    versions that have seen them all; and what it answers can be kept."""
    how, family = method(name), task.family
    other = ("combines", "interim", "unjudged", "packed")
    kept = family.Raw is not None or bool(family.width(("",)))
    return kept and not by_itself(name, task) and not any(getattr(how, one, None) for one in other)


def train_folds(how: Method, job: TrainJob, settings: Any, report: Report) -> FoldAnswers | None:
    """What a training without its fold answers to each training row; None where the job asks for no
    folds. Of a deadline the folds get their part, and where one of them would learn less for want
    of time there are no answers: it would judge the method for worse than it is."""
    if not job.folds:
        return None
    begun = time.monotonic()
    dataset = Dataset(job.data)
    rows = read(dataset, "train")
    fold = out_of_fold.deal(rows.labels, rows.groups, job.folds, job.seed)
    raw: np.ndarray | None = None
    for number in range(job.folds):
        note = t("training.note_folds", fold=number + 1, folds=job.folds)
        report(Progress("train", number, job.folds, "folds", note=note))
        places = np.flatnonzero(fold == number)
        found = _answered(how, job, settings, dataset, rows.take(places), number)
        if found is None:
            cut = t("training.note_folds_cut", method=job.method, folds=job.folds)
            return FoldAnswers(None, None, time.monotonic() - begun, (cut,))
        if raw is None:
            raw = np.zeros((len(rows), *found.shape[1:]), found.dtype)
        raw[places] = found
    return FoldAnswers(tuple(rows.ids or ()), raw, time.monotonic() - begun)


def _answered(
    how: Method, job: TrainJob, settings: Any, dataset: Dataset, judged: Rows, number: int
) -> np.ndarray | None:
    """What a training without the rows `judged` says to them, or said before a kill; None where its
    time did not suffice."""
    folder, family = job.scratch / f"fold-{number}", tasks.of(dataset.schema).family
    before = out_of_fold.read(folder, family.Raw)
    if before is not None:
        return before.raw
    ids = list(judged.ids or ())
    write_part(dataset, folder / "data", ("train", "validation"), family.stratum, without=ids)
    shutil.rmtree(folder / "out", ignore_errors=True)
    for name in ("out", "scratch"):
        (folder / name).mkdir(exist_ok=True)
    own = replace(
        job,
        data=folder / "data",
        out=folder / "out",
        scratch=folder / "scratch",
        deadline=_deadline(job, number),
        trackers=(),
        logs=None,
        folds=0,
    )
    result = how.train(own, settings, _quiet)
    if shortened(result.figures):
        return None
    with closing(open_engine(own.out)) as engine:
        raw = engine.raw(judged.items)
    out_of_fold.keep(folder, ids, raw)
    for name in ("data", "out", "scratch"):
        shutil.rmtree(folder / name)
    return raw


def _deadline(job: TrainJob, number: int) -> float | None:
    """By when the fold `number` should be over: each costs as much as its share of the rows, and
    the whole is trained after them."""
    if job.deadline is None:
        return None
    each = (job.folds - 1) / job.folds
    now = time.time()
    return now + (job.deadline - now) * each / (1 + each * (job.folds - number))


def _quiet(_: Progress) -> None:
    """Of a fold no more is told than that it is being trained."""
