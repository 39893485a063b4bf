"""A language model as it is labels texts, or finds entities in them, told by a prompt and a few
examples: nothing is trained. Its answers are JSON of a schema. What it is worth beside a small
trained model, and what it costs, the same table shows.

`shots` are the examples before each text, those of the training rows that are nearest to it (Liu
and others, 2022, "What Makes Good In-Context Examples for GPT-3?"); 0 is zero-shot. The prompt is
kept with the version and judged with it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from pydantic import Field, field_validator

from feilun.engines._prompts import lacking
from feilun.engines.card import write_card
from feilun.errors import InvalidData
from feilun.messages import t
from feilun.modalities.language import gguf
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.tasks.base import get as get_task
from feilun.training import packed_base
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = [
    "Settings",
    "estimate",
    "needs_base",
    "needs_torch",
    "on_request",
    "order",
    "packed",
    "supports",
    "train",
]

order = 1
needs_base = True
needs_torch = False
packed = True
on_request = True
least_rows = 0

_SECONDS = 12.0  # to copy and to open
_BESIDE = 700e6  # bytes of the engine's process beside the weights


class Settings(MethodSettings):
    """``[training.few-shot]``."""

    prompt: str = Field(
        "",
        max_length=20_000,
        description="what the model is told: {text} has to stand in it, {examples}, {labels} and "
        "{schema} may; by default a sentence in the language of the text",
    )
    shots: int = Field(
        4, ge=0, le=64, description="examples of the training rows before each text; 0: none"
    )
    max_tokens: int = Field(128, ge=8, le=2048, description="tokens of an answer at most")
    max_rows: int = Field(
        20_000, ge=1, description="training rows that examples are taken from at most"
    )

    @field_validator("prompt")
    @classmethod
    def _sound(cls, prompt: str) -> str:
        allowed = ("examples", "labels", "schema")
        faults = lacking(prompt, ("text",), allowed) if prompt else None
        if faults:
            raise ValueError(t("training.bad_prompt", faults=faults))
        return prompt


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Texts with answers that fit a JSON schema, and a base that is a GGUF file."""
    if task.modality != "text" or task.family.json_schema(("a", "b")) is None:
        return t("training.reason_no_json", task=task.name)
    if base is not None and (not isinstance(base, Path) or gguf.found(base) is None):
        return t("training.reason_no_prompt", base=base)
    return None


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """The file's size; the answers are written when the version is judged."""
    return packed_base.estimate(job, _SECONDS, _BESIDE)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `few-shot` version: the base's file and the examples. An update takes these from all
    rows anew."""
    begin = perf_counter()
    file = packed_base.found(job)
    if file is None:
        reason = t("training.reason_no_prompt", base=job.previous or job.base)
        raise InvalidData("training.unsupported", method="few-shot", reason=reason, options=["-"])
    header = packed_base.keep(file, job.out)
    dataset = Dataset(job.data)
    count = 0
    if settings.shots:
        family = get_task(job.task).family
        pairs = zip(dataset.items("train"), dataset.values("label", "train"), strict=True)
        known = [(item, label) for item, label in pairs if label is not None][: settings.max_rows]
        texts = [str(item) for item, _ in known]
        said = [
            json.dumps(family.json_answer(label, item), ensure_ascii=False) for item, label in known
        ]
        packed_base.write_examples(texts, said, job.out)
        count = len(known)
    card = start_card(job, "few-shot", schema_of(job, dataset), settings.model_dump(mode="json"))
    write_card(job.out, replace(card, precision=header.precision))
    report(Progress("train", count, count, "rows"))
    return TrainResult({"seconds": perf_counter() - begin, "rows": float(count)})
