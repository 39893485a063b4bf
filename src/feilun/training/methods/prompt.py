"""A language model as it is, told what to do by a prompt: nothing is trained.

`system_prompt` goes before every conversation, and `shots` of the training rows before each
question, the nearest ones (few-shot prompting; Brown and others, 2020, "Language Models are
Few-Shot Learners"; chosen by nearness after Liu and others, 2022, "What Makes Good In-Context
Examples for GPT-3?"). Both are kept with the version, and are judged with it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
from pydantic import Field

from feilun.engines._generator import LLAMA_CPP
from feilun.engines._streaming import MAX_TOKENS
from feilun.engines.card import write_card
from feilun.engines.genai import library
from feilun.errors import InvalidData
from feilun.families.generation import Generation
from feilun.messages import t
from feilun.modalities.language import conversations, gguf
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training import packed_base
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import all_rows, drawn, schema_of, start_card
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

order = 1
needs_base = True
needs_torch = False
packed = True
least_rows = 0

_LEAST_TOKENS = 64
_SECONDS = 10.0  # to copy and to open
_BESIDE = 600e6  # bytes of the engine's process beside the weights
_SAMPLE = 2000


class Settings(MethodSettings):
    """``[training.prompt]``."""

    system_prompt: str = Field(
        "",
        max_length=20_000,
        description="what the model is told before every conversation that brings no system "
        "message of its own",
    )
    shots: int = Field(
        0,
        ge=0,
        le=64,
        description="answered questions of the training rows that go before each question, the "
        "nearest ones; 0: none",
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        le=8192,
        description="tokens of an answer where the caller does not say; by default twice the "
        f"longest answers of the training rows, {_LEAST_TOKENS} to {MAX_TOKENS}",
    )
    max_rows: int = Field(
        100_000, ge=1, description="training rows that examples are taken from at most"
    )


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    """Conversations, with a base that is a GGUF file."""
    if not (isinstance(task.family, Generation) and task.family.converses):
        return t("training.reason_no_memory", task=task.name)
    if isinstance(base, Path) and gguf.found(base) is None:
        return t("training.reason_no_prompt", base=base)
    return None


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    """The file's size; the answers are written when the version is judged."""
    return packed_base.estimate(job, _SECONDS, _BESIDE)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Writes a `prompt` version: the base's file with what it is told. An update takes its examples
    from all rows anew."""
    begin = perf_counter()
    file = packed_base.found(job)
    if file is None:
        reason = job.previous or job.base
        raise InvalidData("training.unsupported", method="prompt", reason=reason, options=["-"])
    header = packed_base.keep(file, job.out)
    dataset = Dataset(job.data)
    rows, notes = drawn(all_rows(dataset), settings.max_rows, job.seed)
    report(Progress("train", 0, len(rows), "rows"))
    answers = [str(one) for one in rows.labels]
    if settings.shots:
        asked = [conversations.question(str(item)) for item in rows.items]
        packed_base.write_examples(asked, answers, job.out)
    extra = {
        "system_prompt": settings.system_prompt,
        "shots": settings.shots,
        "longest": settings.max_tokens or _usual(answers, job.out),
    }
    made = "llama-cpp" if library(header) == LLAMA_CPP else "prompt"
    card = start_card(job, made, schema_of(job, dataset), settings.model_dump(mode="json"))
    write_card(job.out, replace(card, precision=header.precision, extra=extra))
    report(Progress("train", len(rows), len(rows), "rows"))
    figures = {"seconds": perf_counter() - begin, "rows": float(len(rows))}
    return TrainResult(figures, tuple(notes))


def _usual(answers: list[str], out: Path) -> int:
    """Twice the tokens of the longest answers but for the longest hundredth."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(out / "tokenizer.json"))
    sizes = [len(one.ids) for one in made.encode_batch_fast(answers[:_SAMPLE])]
    longest = float(np.quantile(sizes, 0.99)) if sizes else 0.0
    return int(min(MAX_TOKENS, max(_LEAST_TOKENS, 2 * longest)))
