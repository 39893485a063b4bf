"""A conversation that is answered with what the last message says: a fake of a language model.

Its tokens have one, two and three characters in turn, so that nothing falls on their borders by
luck. A last message that is JSON is an order: ``say`` this, ``pause`` seconds before each token,
``draw`` so many words by the seed, ``recall`` the whole conversation, ``crash`` at a token.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from feilun.engines._streaming import StreamingEngine, Token, ToolCall
from feilun.engines.card import Card, write_card
from feilun.families.generation import Written, objects
from feilun.modalities.language import conversations
from feilun.store.dataset import Dataset
from feilun.tasks import chat
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import all_rows, schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Item, Output, Progress

FORMATS = ("parrot",)
order = 0
needs_base = needs_torch = False
least_rows = 0
WORDS = ("tea", "lamp", "soap", "chair", "茶", "灯")


class Task(chat.Task):
    """Conversations that are answered with their last words."""

    summary: ClassVar = {"en": "says again what was said", "zh": "重复所说的话"}
    Settings = chat.Settings


class Settings(MethodSettings):
    """``[training.parrot]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    return None if task.name == "toy-parrot" else "it only repeats"


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    return Estimate(10_000_000, 1.0)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """There is nothing to learn."""
    dataset = Dataset(job.data)
    report(Progress("train", 1, 1))
    schema = schema_of(job, dataset)
    write_card(job.out, start_card(job, "parrot", schema, settings.model_dump(mode="json")))
    return TrainResult({"rows": float(len(all_rows(dataset).items))})


def cut(text: str) -> Iterator[str]:
    """The tokens of a text."""
    place, size = 0, 1
    while place < len(text):
        yield text[place : place + size]
        place, size = place + size, size % 3 + 1


class Engine(StreamingEngine):
    """Honours everything."""

    name = "parrot"
    OPTIONS = frozenset(
        {"temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"}
        | {"logprobs", "response_format", "tools"}
    )
    longest = 2000
    context = 20_000

    @property
    def info(self) -> Mapping[str, Any]:
        return {**super().info, "streams": 16}

    def count(self, text: str) -> int:
        return sum(1 for _ in cut(text))

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        return objects([Written(_said(str(item), {})) for item in items])

    async def write(
        self, item: Item, options: Mapping[str, Any]
    ) -> AsyncGenerator[str | Token | ToolCall | Output]:
        order = _order(str(item))
        text = _said(str(item), options)
        most = options.get("logprobs")
        for place, token in enumerate(cut(text)):
            if place == order.get("crash"):
                raise RuntimeError("the fake model was asked to")
            await asyncio.sleep(order.get("pause", 0))
            if most is None:
                yield token
            else:
                others = [(f"~{number}", -5.0 - number) for number in range(most)]
                yield Token(token, -len(token) / 10, [(token, -len(token) / 10), *others][:most])
        yield {"generated_text": text, **({"usage": order["usage"]} if "usage" in order else {})}


def _order(item: str) -> dict[str, Any]:
    said = conversations.messages_of(item)[-1].content
    try:
        found = json.loads(said) if said.startswith("{") else {"say": said}
    except ValueError:
        found = {"say": said}
    return found if isinstance(found, dict) else {"say": said}


def _said(item: str, options: Mapping[str, Any]) -> str:
    order = _order(item)
    if order.get("recall"):
        return " / ".join(one.content for one in conversations.messages_of(item))
    if "draw" in order:
        return " ".join(random.Random(options.get("seed")).choices(WORDS, k=order["draw"]))
    return str(order.get("say", ""))


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> Engine:
    return Engine(card)
