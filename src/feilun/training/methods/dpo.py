"""Learns from pairs of a better and a worse answer, such as corrections give, which of two answers
is wanted (Rafailov and others, 2023, "Direct Preference Optimization").

It begins from a model that was taught already (``feilun run --method dpo --base support@live``),
by low-rank adapters that are merged into the weights. The pairs stand in a file of their own;
``feilun feedback pairs`` writes one of the corrections that came.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from pydantic import Field

from feilun.errors import Conflict, InvalidData, UsageError
from feilun.messages import t
from feilun.modalities.language.seq2seq import is_pair
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training import finetune, preferences
from feilun.training.adapters import Peft
from feilun.training.batches import Examples
from feilun.training.body import describe
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.methods import lora
from feilun.training.rows import schema_of
from feilun.types import Progress

__all__ = ["Method", "Settings"]

_HELD = 0.1  # share of the pairs that choose the epoch
_LEAST_HELD = 20  # fewer would choose by chance: then the last epoch is taken


class Settings(lora.Settings):
    """``[training.dpo]``."""

    pairs: str = Field(
        "",
        description="JSON Lines file of prompt, chosen and rejected; a path from where feilun is "
        "called",
    )
    pairs_sha256: str = Field(
        "", description="of that file, by which equal trainings are known; filled in"
    )
    beta: float = Field(
        0.1, gt=0, le=10, description="how dear it is to leave the model that learning begins from"
    )
    imitation: float = Field(
        0.2, ge=0, le=10, description="weight of the chosen answers' own likelihood in the loss"
    )


class Method(lora.Method):
    """Low-rank matrices beside every linear layer, taught by pairs."""

    rate = 2e-4
    on_request = True
    least_rows = 0

    def supports(self, task: TaskBase, base: Path | str | None) -> str | None:
        """Causal language models."""
        if not task.family.keeps_base or is_pair(base):
            return t("preferences.reason", task=task.name)
        return super().supports(task, base)

    def settle(self, job: TrainJob, settings: Any) -> Any:
        """Raises `UsageError` where no file of pairs is named, `NotFound` where there is none."""
        if not settings.pairs:
            raise UsageError("preferences.none_named")
        file = Path(settings.pairs).expanduser().resolve()
        found = preferences.digest(file)
        if settings.pairs_sha256 and settings.pairs_sha256 != found:
            raise Conflict("preferences.changed", file=file)
        named = settings.model_copy(update={"pairs": str(file), "pairs_sha256": found})
        return super().settle(job, named)

    def estimate(self, job: TrainJob, settings: Any, rows: DataStats, machine: Machine) -> Estimate:
        """As lora, of two answers a pair."""
        pairs = preferences.read_pairs(Path(self.settle(job, settings).pairs))
        twice = replace(rows, train=2 * len(pairs), validation=0)
        return super().estimate(job, settings, twice, machine)

    def train(self, job: TrainJob, settings: Any, report: Report) -> TrainResult:
        """Trains the adapters by pairs. Raises `InvalidData` where none fits."""
        from transformers import set_seed

        start = perf_counter()
        settings = self.settle(job, settings)
        schema, task = schema_of(job, Dataset(job.data)), tasks.get(job.task)
        source = job.previous or job.base
        lessons = task.lessons(source, schema)
        assert lessons is not None  # `supports`
        report(Progress("train", 0, 0, "rows", note=t("training.note_opening")))
        pairs = preferences.read_pairs(Path(settings.pairs))
        order = np.random.default_rng(job.seed).permutation(len(pairs))
        apart = int(_HELD * len(pairs)) if _HELD * len(pairs) >= _LEAST_HELD else 0
        held = preferences.PairRows([pairs[place] for place in order[:apart]], lessons)
        rows = preferences.PairRows([pairs[place] for place in order[apart:]], lessons)
        if not len(rows):
            raise InvalidData("training.nothing_taught", rows=len(pairs))
        notes = list(lessons.notes)
        if rows.empty + held.empty:
            empty = rows.empty + held.empty
            notes.append(t("preferences.note_empty", empty=empty, total=len(pairs)))
        set_seed(job.seed)
        model: Any = task.load(source, schema).model
        for part in (rows, held):
            part.reference = preferences.scored(model, part)
        objective = preferences.Preference(settings.beta, settings.imitation)
        lesson = finetune.Lesson(
            schema, model, rows, held, objective, describe(source), lessons.save, lessons.format,
            dict(lessons.extra), notes,
        )  # fmt: skip
        figures = finetune.teach(job, settings, lesson, report, self.adaptation(job, settings))
        figures |= {"seconds": perf_counter() - start, "rows": float(len(rows))}
        return TrainResult(figures, tuple(lesson.notes))

    def adaptation(self, job: TrainJob, settings: Any) -> Peft:
        return _Pairs(job, super().adaptation(job, settings).config)


class _Pairs(Peft):
    """The adapted model behind what scores pairs by it."""

    above_frozen = False

    def wrap(self, model: Any, rows: Examples, steps: int) -> Any:
        return preferences.PairScores(super().wrap(model, rows, steps))

    def unwrap(self, model: Any) -> Any:
        return super().unwrap(model.model)
