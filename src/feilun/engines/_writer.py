"""A language model in one GGUF file that writes for an engine whose answers are not its text: what
it is told is made of the input, and what it writes becomes the answer."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from feilun.engines._generator import Part, Sink
from feilun.engines._index import length
from feilun.engines._inline import InlineEngine
from feilun.engines.card import Card
from feilun.engines.genai import CONTEXT, header_of, library, needs, open_model
from feilun.errors import EnvironmentProblem
from feilun.modalities.language.causal import PromptProcessor
from feilun.modalities.language.conversations import Message
from feilun.modalities.language.template import render
from feilun.types import EngineRequest, Item, Output, Usage

__all__ = ["HAN", "Writer", "WritingEngine", "Wrote", "tokens_of"]

HAN = re.compile("[\u3400-\u9fff]")
"""What tells a Chinese text."""


class Wrote(NamedTuple):
    """A text, the tokens that were read and written for it, the mean probability of the written
    ones (0 where there are none), and why it ended: ``stop``, ``length``, ``refused``."""

    text: str
    tokens_in: int
    tokens_out: int
    probability: float
    reason: str


class Writer:
    """The model in `folder`. Any thread may ask it; all that is asked at a time is written
    together. Raises `EnvironmentProblem` where the library that runs it is not installed,
    `CorruptArtifact` for a file that is no whole GGUF file."""

    def __init__(self, folder: Path, card: Card, threads: int | None) -> None:
        header = header_of(folder)
        runs = library(header)
        needs(runs, folder)
        self._processor = PromptProcessor.read(folder, CONTEXT)
        opened = open_model(folder, header, card, runs, threads)
        self._stops, self.context, self.sequences, self._generator = opened

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return max(0, self._generator.running - self.sequences)

    @property
    def steps(self) -> int | None:
        """Which step is under way; None where there is nothing to write."""
        return self._generator.steps if self._generator.running else None

    def start(self) -> None:
        """Opens the model. Raises as `Generator.start` does."""
        self._generator.start()

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of a conversation that waits for its answer."""
        return self._processor.ids(render(messages, self._processor.template, ask=True))

    def write(
        self,
        asked: Sequence[Sequence[int]],
        longest: int,
        schema: Mapping[str, Any] | None = None,
    ) -> list[Wrote]:
        """The answers to prompts (`ids`), each of at most `longest` tokens, the most probable
        token each time; JSON of the `schema` where there is one. A prompt that leaves no room is
        not answered (``length``)."""
        config: dict[str, Any] = {"logprobs": 1}
        if schema is not None:
            config["json_schema"] = msgspec.json.encode(schema).decode()
        found: list[Wrote | None] = [None] * len(asked)
        waiting = list(enumerate(asked))[::-1]
        running: dict[int, tuple[int, Sink, list[int], list[float]]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * self.sequences:
                    place, ids = waiting.pop()
                    room = min(longest, self.context - len(ids))
                    if room < 1:
                        found[place] = Wrote("", len(ids), 0, 0.0, "length")
                        continue
                    sink = Sink()
                    number = self._generator.add(ids, {**config, "max_new_tokens": room}, sink)
                    running[place] = number, sink, [], []
                for place, (_, sink, ids, logs) in list(running.items()):
                    part = sink.items.get()
                    if not isinstance(part, Part):
                        raise part
                    ids += part.ids
                    logs += [one for one in part.logprobs if one is not None]
                    if part.reason is not None:
                        del running[place]
                        read = len(asked[place])
                        found[place] = self._wrote(read, ids, logs, part.reason)
        finally:
            for number, *_ in running.values():
                self._generator.stop(number)
        return [one for one in found if one is not None]

    def close(self) -> None:
        """Ends the model's process."""
        self._generator.close()

    def abandon(self) -> None:
        """Gives up on a model that hangs: every call under way fails."""
        self._generator.close(EnvironmentProblem("engines.abandoned"))

    def _wrote(self, read: int, ids: list[int], logs: list[float], reason: str) -> Wrote:
        kept = [one for one in ids if one not in self._stops]
        text = self._processor.tokenizer.decode(kept, skip_special_tokens=True).strip()
        probability = float(np.exp(np.mean(logs))) if logs else 0.0
        return Wrote(text, read, len(ids), min(1.0, probability), reason)


def tokens_of(wrote: Sequence[Wrote]) -> dict[str, int]:
    """The tokens that were read and written, as units of a call."""
    return {
        "tokens_in": sum(one.tokens_in for one in wrote),
        "tokens_out": sum(one.tokens_out for one in wrote),
    }


class WritingEngine(InlineEngine):
    """An engine whose answers a `Writer` writes. The card's ``config`` has the ``prompt``, without
    which one of `prompts` is taken, and ``max_tokens``, by default `longest`."""

    longest: ClassVar[int]
    prompts: ClassVar[Mapping[str, str]]

    def __init__(self, folder: Path, card: Card, threads: int | None) -> None:
        super().__init__(card, slow=True)
        self._writer = Writer(folder, card, threads)
        # Threads only wait here: all answers are written together, in another process.
        self._aside = ThreadPoolExecutor(self._writer.sequences, f"feilun-{self.name}")
        self._told = str(card.config.get("prompt", ""))
        self._longest = int(card.config.get("max_tokens", self.longest))

    @property
    def info(self) -> Mapping[str, Any]:
        return {
            **super().info,
            "batch": self._writer.sequences,
            "streams": self._writer.sequences,
            "costly": True,
            "waiting": self._writer.waiting,
            "oldest": self._writer.steps,
        }

    def start(self) -> None:
        """Opens the model."""
        self._writer.start()

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        return self._read(items)[0]

    def warm_up(self) -> None:
        self.raw(self._task.example_items()[:1])

    def most(self, request: EngineRequest) -> Mapping[str, int]:
        count = len(request.items)
        read = count * (self._writer.context - 1)
        return {"inputs": count, "tokens_in": read, "tokens_out": count * self._longest}

    def close(self) -> None:
        super().close()
        self._writer.close()

    def abandon(self) -> None:
        """Gives up on a model that hangs: every call under way fails."""
        self._writer.abandon()

    @abstractmethod
    def _read(self, items: Sequence[Item]) -> tuple[np.ndarray, dict[str, int]]:
        """The raw outputs, and the tokens that the model read and wrote for them."""

    def _told_of(self, text: str) -> str:
        """The prompt for `text`: the version's own, else the usual one in its language."""
        return self._told or self.prompts["zh" if HAN.search(text) else "en"]

    def _answer(self, request: EngineRequest) -> tuple[list[Output], Usage]:
        start = perf_counter()
        raw, units = self._read(request.items)
        outputs = self._decode(raw, request.all_scores)
        tokens = sum(length(str(item)) for item in request.items)
        used = Usage(len(request.items), tokens, units=units)
        used = replace(used, engine_seconds=perf_counter() - start)
        self._count(used)
        return outputs, used
