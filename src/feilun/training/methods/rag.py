"""A language model as it is answers from the passages that were found, and cites them: nothing is
trained. The base is a GGUF file, such as the starter ``smollm2``, or a version of a chat project of
this workspace (``support@3``), which has learnt the company's own words.
"""

from __future__ import annotations

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
from feilun.training import packed_base
from feilun.training.documents import answers_questions, library_of
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Progress

__all__ = [
    "Settings",
    "estimate",
    "needs_base",
    "needs_torch",
    "order",
    "packed",
    "supports",
    "train",
]

order = 4
needs_base = True
needs_torch = False
packed = True
least_rows = 0

_SECONDS = 12.0  # to copy and to open
_BESIDE = 700e6  # bytes of the engine's process beside the weights


class Settings(MethodSettings):
    """``[training.rag]``."""

    prompt: str = Field(
        "",
        max_length=20_000,
        description="what the model is told, with {passages} and {question} in it; by default a "
        "sentence in the language of the question that asks for a short answer with its source",
    )
    passages: int = Field(3, ge=1, le=10, description="passages that the model reads for an answer")
    max_tokens: int = Field(96, ge=8, le=2048, description="tokens of an answer at most")

    @field_validator("prompt")
    @classmethod
    def _sound(cls, prompt: str) -> str:
        faults = lacking(prompt, ("passages", "question"), ()) if prompt else None
        if faults:
            raise ValueError(t("training.bad_prompt", faults=faults))
        return prompt


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Questions answered from documents, with a base that is a GGUF file."""
    if isinstance(base, Path) and answers_questions(task) is None and gguf.found(base) is None:
        return t("training.reason_no_prompt", base=base)
    return answers_questions(task)


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """The file's size; the answers are written when the version is judged."""
    return packed_base.estimate(job, _SECONDS, _BESIDE)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `rag` version: the library and the base's file. An update makes the library anew."""
    begin = perf_counter()
    file = packed_base.found(job)
    if file is None:
        reason = t("training.reason_no_prompt", base=job.previous or job.base)
        raise InvalidData("training.unsupported", method="rag", reason=reason, options=["-"])
    header = packed_base.keep(file, job.out)
    dataset = Dataset(job.data)
    schema = schema_of(job, dataset)
    report(Progress("train", 0, len(dataset), "rows", note=t("training.note_indexing")))
    library = library_of(dataset, schema.settings)
    library.write(job.out)
    card = start_card(job, "rag", schema, settings.model_dump(mode="json"))
    write_card(job.out, replace(card, precision=header.precision))
    figures = {
        "seconds": perf_counter() - begin,
        "documents": float(len(library.documents)),
        "passages": float(len(library.passages)),
    }
    return TrainResult(figures)
