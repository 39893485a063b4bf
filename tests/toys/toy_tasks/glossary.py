"""A text said again word by word in another language: a text in, a text out, in pieces. The family
is feilun's; the file brings a method that learns which word becomes which, and a fake token engine
that writes one word at a time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from feilun.engines._streaming import StreamingEngine
from feilun.engines.card import Card, write_card
from feilun.families.generation import GENERATION, Written, objects
from feilun.modalities.text.task import TextSettings, TextTask
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import all_rows, schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Example, Item, Output, Progress

FORMATS = ("glossary",)
order = 0
needs_base = needs_torch = False
least_rows = 0


class Task(TextTask):
    """A text said again in other words, each word by the one that stood in its place."""

    summary: ClassVar = {"en": "says a text in other words", "zh": "用另一种语言逐词复述"}
    family = GENERATION
    Settings = TextSettings
    label_aliases = ("translation", "译文")
    examples = (
        Example("1", "good tea", "guter Tee"),
        Example("2", "good lamp", "gute Lampe"),
        Example("3", "好 茶", "guter Tee"),
    )


class Settings(MethodSettings):
    """``[training.glossary]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    return None if task.name == "toy-glossary" else "it knows single words alone"


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    return Estimate(10_000_000, 1.0)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """For each word the one that stands most often in its place."""
    dataset = Dataset(job.data)
    rows = all_rows(dataset)
    seen: dict[str, Counter[str]] = {}
    for item, target in zip(rows.items, rows.labels, strict=True):
        for word, other in zip(str(item).split(), str(target).split(), strict=False):
            seen.setdefault(word, Counter())[other] += 1
    words = {word: found.most_common(1)[0][0] for word, found in seen.items()}
    report(Progress("train", 1, 1, "words", {"words": float(len(words))}))
    (job.out / "words.json").write_text(json.dumps(words), "utf-8")
    schema = schema_of(job, dataset)
    write_card(job.out, start_card(job, "glossary", schema, settings.model_dump(mode="json")))
    return TrainResult({"rows": float(len(rows))})


class Engine(StreamingEngine):
    """A word that begins with ``crash`` ends it; after ``slow`` it takes its time."""

    name = "glossary"
    longest = 400

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        self._words: Mapping[str, str] = json.loads((folder / "words.json").read_text("utf-8"))

    def count(self, text: str) -> int:
        return len(text.split())

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        said = (map(self._say, str(item).split()[: self.longest]) for item in items)
        return objects([Written(" ".join(words)) for words in said])

    async def write(self, item: Item, options: Mapping[str, Any]) -> AsyncGenerator[str | Output]:
        pause, said = 0.0, ""
        for word in str(item).split():
            if word.startswith("crash"):
                raise RuntimeError("the fake engine was asked to")
            pause = 0.01 if word == "slow" else pause
            await asyncio.sleep(pause)
            piece = f" {self._say(word)}" if said else self._say(word)
            said += piece
            yield piece
        yield {"generated_text": said}

    def _say(self, word: str) -> str:
        return self._words.get(word, word)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> Engine:
    return Engine(folder, card)
