"""Learns from rows without a label, too: a version at hand answers them, and what it is sure of
teaches the same method again, from the beginning.

Such answers are called pseudo-labels (Lee 2013). A row teaches where the version answers changed
copies of it the same (consistency; Sohn and others 2020, "FixMatch"), and the copies teach with it.
Of each label the surest rows teach, in the shares that the labels have among the labelled rows, so
that what is easily answered does not crowd out the rest.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from pydantic import Field

from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.errors import UsageError
from feilun.messages import t
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import out_of_fold
from feilun.training.augment import Augmented
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import schema_of
from feilun.training.settings import MethodSettings, method, methods_for
from feilun.types import Example, Item, Progress, Schema

__all__ = ["Settings", "begins", "combines", "estimate", "least_rows", "needs_base", "needs_torch",
           "on_request", "order", "supports", "train"]  # fmt: skip

order = 4
needs_base = False
needs_torch = False
least_rows = 20
on_request = True
combines = "served"


class Settings(MethodSettings):
    """``[training.self-training]``."""

    of: tuple[str, ...] = Field(
        (),
        max_length=1,
        description="method whose newest version answers the rows without a label, and which then "
        "learns from them; it is trained first. By default the task's baseline",
    )
    corpus: bool = Field(True, description="whether the rows of the project's corpora teach")
    traffic: bool = Field(
        True,
        description="whether inputs of calls teach, too, as far as they may be kept "
        "(feedback.store_inputs, and each key's own)",
    )
    sure: float = Field(
        0.8, ge=0, le=1, description="how sure an answer has to be to teach, 0 to 1"
    )
    share: float = Field(
        3.0, gt=0, le=100, description="rows without a label that teach at most, for each labelled"
    )
    copies: int = Field(
        1,
        ge=0,
        le=8,
        description="changed copies of a row that have to be answered the same, and then teach",
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """What a version answered: the item, the target that it stands for, and how sure it was."""

    item: Item
    target: str
    sure: float


def begins(settings: Mapping[str, Any]) -> bool:
    """Where the method that learns does."""
    return any(method(one).needs_base for one in settings.get("of", ()))


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Whatever is answered with a word on how sure that is, where a target is learnt for it."""
    if task.family.uncascaded() is not None or task.family.unjudged:
        return t("training.reason_unsure", task=task.name)
    return None


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """What the method takes that learns, with as many rows more as may teach."""
    chosen: Any = method(_taught(job, settings))
    own = chosen.Settings()
    if hasattr(chosen, "settle"):
        own = chosen.settle(job, own)
    more = replace(rows, train=int(rows.train * (1 + settings.share * (1 + settings.copies))))
    found: Estimate = chosen.estimate(job, own, more, machine)
    return replace(found, seconds=found.seconds + 5.0)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a version in the format of the method that learns. Raises `UsageError` where no
    version of it is there, or no row without a label."""
    start = perf_counter()
    name = _taught(job, settings)
    teachers = [one for one in job.members if read_card(one).method == name]
    if not teachers:
        raise UsageError("training.no_teacher", method=name)
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    card = read_card(teachers[-1])
    if card.schema.labels != schema.labels:
        raise UsageError("training.other_labels", method=name)
    items = _without_label(dataset, job.unlabelled)
    if not items:
        raise UsageError("training.nothing_unlabelled")
    answered = _answered(teachers[-1], items, schema, settings, job, report)
    chosen = _chosen(answered, dataset, settings, schema)
    rows, copies = _written(chosen, dataset, settings, schema, job)
    notes = [
        t(
            "training.note_self_taught",
            method=name,
            rows=rows,
            asked=len(items),
            copies=copies,
            sure=f"{100 * settings.sure:.0f}",
        )
    ]
    learner: Any = method(name)
    fields = learner.Settings.model_fields
    own = learner.Settings(**{key: one for key, one in card.config.items() if key in fields})
    made: TrainResult = learner.train(replace(job, data=_folder(job), members=()), own, report)
    # The rows' own answers helped to choose what was learnt: none of them is to an unseen row.
    (job.out / out_of_fold.FILE).unlink(missing_ok=True)
    shutil.rmtree(_folder(job))
    figures = {"self_taught": float(rows), "seconds": perf_counter() - start}
    return TrainResult({**made.figures, **figures}, (*notes, *made.notes))


def _taught(job: TrainJob, settings: Settings) -> str:
    """The method that answers and learns. Raises `UsageError` for one that puts others together."""
    name = settings.of[0] if settings.of else methods_for(tasks.get(job.task))[0]
    if getattr(method(name), "combines", None):
        raise UsageError("training.not_self_taught", method=name)
    return name


def _folder(job: TrainJob) -> Path:
    return job.scratch / "self-training"


def _without_label(dataset: Dataset, more: Path | None) -> list[Item]:
    """Training rows without a label, and what is beside the data version."""
    labels = dataset.values("label", "train")
    items = dataset.items("train")
    own = [items[place] for place, label in enumerate(labels) if label is None]
    return [*own, *(Dataset(more).items() if more else ())]


def _answered(
    teacher: Path,
    items: Sequence[Item],
    schema: Schema,
    settings: Settings,
    job: TrainJob,
    report: Report,
) -> list[_Said]:
    """Of `items` those that the version is sure of, whose copies it answers the same."""
    family = tasks.of(schema).family
    asked = _with_copies(items, settings.copies, schema, job.seed)
    report(Progress("train", 0, len(asked), "rows", note=t("training.note_asking")))
    with closing(open_engine(teacher, threads=job.threads)) as engine:
        outputs = family.decoder(schema, engine.card.point)(engine.raw(asked), False)
    said = [family.said(one) for one in outputs]
    found = []
    for place, item in enumerate(items):
        output = outputs[place]
        sure = None if "abstained" in output else family.sure(output)
        same = all(other == said[place] for other in said[place :: len(items)])
        if sure is not None and sure >= settings.sure and same:
            found.append(_Said(item, said[place], sure))
    return found


def _with_copies(items: Sequence[Item], copies: int, schema: Schema, seed: int) -> Sequence[Item]:
    """`items`, and behind them as often `copies` of all, where a target survives a change."""
    task = tasks.of(schema)
    changes = [one for one in task.disturbances().values() if one.teaches]
    if not copies or not changes or not task.family.invariant:
        return items
    return Augmented(items, np.tile(np.arange(len(items)), copies), changes, seed)


def _chosen(
    answered: Sequence[_Said], dataset: Dataset, settings: Settings, schema: Schema
) -> list[_Said]:
    """The surest of each stratum, as many as its share of the labelled rows allows."""
    family = tasks.of(schema).family
    known = Counter(family.stratum(one) for one in dataset.values("label", "train") if one)
    ranked = sorted(answered, key=lambda one: -one.sure)
    taken: Counter[str] = Counter()
    found = []
    for one in ranked:
        stratum = family.stratum(one.target)
        if taken[stratum] < settings.share * known[stratum]:
            taken[stratum] += 1
            found.append(one)
    return found


def _written(
    chosen: Sequence[_Said], dataset: Dataset, settings: Settings, schema: Schema, job: TrainJob
) -> tuple[int, int]:
    """Writes the rows of `dataset` with the `chosen` ones and their copies among the training rows;
    how many rows were added, and how many copies."""
    folder = _folder(job)
    shutil.rmtree(folder, ignore_errors=True)
    items = [one.item for one in chosen]
    whole = _with_copies(items, settings.copies, schema, job.seed)
    copies = 0
    with DatasetWriter(folder, dataset.columns, tasks.of(schema).family.stratum) as writer:
        for example in dataset.examples():
            writer.add(example)
        for place in range(len(whole)):
            one, item = chosen[place % len(chosen)], whole[place]
            if place >= len(chosen) and item == one.item:
                continue
            copies += place >= len(chosen)
            writer.add(Example(f"unlabelled-{place}", item, one.target))
        writer.close(dataset.schema, dataset.info)
    return len(chosen), copies
