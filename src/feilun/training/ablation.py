"""What each modality of a table adds: the same method, taught by one of them alone and by all but
one. Small versions of their own beside the version, which an evaluation asks on the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from feilun.engines.card import ALONE, PARTS, WITHOUT
from feilun.messages import t
from feilun.tasks import base as tasks
from feilun.training.job import Method, Report, TrainJob
from feilun.types import Progress

__all__ = ["subsets", "train_parts"]


def subsets(modalities: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """The columns of each part to teach, by the name of its folder. Of two modalities either alone
    is what is left without the other."""
    if len(modalities) < 2:
        return {}
    every = frozenset(name for names in modalities.values() for name in names)
    found = {ALONE + kind: frozenset(names) for kind, names in modalities.items()}
    if len(modalities) > 2:
        found |= {WITHOUT + kind: every - set(names) for kind, names in modalities.items()}
    return found


def train_parts(method: Method, job: TrainJob, settings: Any, report: Report) -> float:
    """Trains `job`'s parts into ``parts`` of its version, as long as there is time; returns the
    seconds. Nothing for a method that does not ask for it and a table of one modality."""
    begun = time.perf_counter()
    task = tasks.get(job.task).bound(job.task_settings)
    wanted = subsets(task.modalities()) if getattr(settings, "parts", False) else {}
    inputs = task.inputs().get("inputs", [])
    for done, (name, columns) in enumerate(wanted.items()):
        if job.deadline is not None and time.time() > job.deadline:
            break
        note = t("training.note_parts", columns=sorted(columns)[:5])
        report(Progress("train", done, len(wanted), "parts", note=note))
        out = job.out / PARTS / name
        out.mkdir(parents=True)
        kept = [one for one in inputs if one[0] in columns]
        own = replace(job, out=out, task_settings={**job.task_settings, "inputs": kept})
        method.train(own, settings, _quiet)
    return time.perf_counter() - begun if wanted else 0.0


def _quiet(_: Progress) -> None:
    """Of a part no more is told than that it is being trained."""
