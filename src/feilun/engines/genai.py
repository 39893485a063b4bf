"""Language models as one GGUF file, by openvino-genai: all callers' answers are written together.

A version is a folder with ``model.gguf``, its ``tokenizer.json`` and ``chat_template.jinja``, and,
where examples stand before each question, an index of them. Prompts are rendered and turned into
tokens here, by what training used; the model runs in a process of its own (`_generator`).
"""

from __future__ import annotations

import asyncio
import codecs
import importlib.util
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import msgspec
import numpy as np

from feilun.engines._asking import ANSWERS, QUESTIONS, Asking
from feilun.engines._continuations import parted
from feilun.engines._generator import ARCHITECTURES, GENAI, LLAMA_CPP, Generator, Part, Sink
from feilun.engines._inline import added
from feilun.engines._streaming import MAX_TOKENS, StreamingEngine, Token, ToolCall
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact, EnvironmentProblem, InvalidData
from feilun.families.generation import Written, objects, sure_of
from feilun.modalities.language import gguf
from feilun.modalities.language.causal import PromptProcessor
from feilun.tasks import base as tasks
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = [
    "ANSWERS",
    "CONTEXT",
    "FORMATS",
    "MODEL",
    "QUESTIONS",
    "GenaiEngine",
    "header_of",
    "library",
    "load",
    "needs",
    "open_model",
    "prompt",
]

FORMATS = ("gguf", "prompt")
"""What was compressed to such a file, and a base's own file with what it is told."""
MODEL = "model.gguf"

_FLOAT = ("f32", "fp32", "f16")
CONTEXT = 8192
"""Tokens of prompt and answer at most, whatever the model reads."""
_BATCH_TOKENS = 512
_SEQUENCES = {GENAI: (4, 32, 4 << 30), LLAMA_CPP: (1, 8, 1 << 30)}
"""How many answers are written at once, at least and at most, and the bytes of what is kept of
them; llama.cpp takes these beforehand."""
_PACKAGES = {GENAI: ("openvino_genai", "language"), LLAMA_CPP: ("xllamacpp", "llama-cpp")}
"""What each library is imported as, and the extra that brings it."""
_WAITING = 8  # times as many requests as are written at once may be under way
_SEED_LIMIT = 1 << 31
_PROMPTS = 256  # whose tokens are remembered: a call asks for those of its prompt several times


class GenaiEngine(StreamingEngine):
    """Writes by a language model. Greedy, unless a caller names a temperature."""

    name = "genai"
    OPTIONS: ClassVar = frozenset(
        {"temperature", "top_p", "seed", "frequency_penalty", "presence_penalty", "logprobs"}
        | {"response_format", "tools", "tool_choice", "parallel_tool_calls"}
    )

    library: ClassVar = GENAI
    says_how_sure = False
    """Whether answers have a score (`sure_of`): what a cascade passes answers on by. It is no
    measure of truth, so nothing else is told it."""

    def __init__(self, folder: Path, card: Card, threads: int | None) -> None:
        super().__init__(card)
        header = header_of(folder)
        if self.library == GENAI:
            _check(header)
        processor = self._task.processor(folder, card.schema.settings)
        assert isinstance(processor, PromptProcessor)
        self._processor = processor
        self._pieces = gguf.pieces(processor.tokenizer)
        self._asking = Asking(folder, card, processor)
        self._usual = int(card.extra.get("longest", MAX_TOKENS))
        opened = open_model(folder, header, card, self.library, threads)
        self._stops, self.context, self._sequences, self._generator = opened
        self.longest = opened.context
        self._threads = threads
        self._ids = lru_cache(_PROMPTS)(self._encoded)

    @property
    def info(self) -> Mapping[str, Any]:
        generator = self._generator
        return {
            **super().info,
            "threads": self._threads or 0,
            "batch": self._sequences,
            "streams": self._sequences,
            "costly": True,
            "waiting": max(0, generator.running - self._sequences),
            "oldest": generator.steps if generator.running else None,
        }

    def start(self) -> None:
        """Opens the model. Raises as `Generator.start` does."""
        self._generator.start()

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        found: list[Written] = [Written("")] * len(items)
        sinks: dict[int, tuple[Sink, int, _Text]] = {}
        waiting = list(enumerate(items))[::-1]
        while waiting or sinks:
            while waiting and len(sinks) < 2 * self._sequences:
                place, item = waiting.pop()
                with suppress(InvalidData):  # a prompt that no caller could send has no answer
                    ids = self._asked_ids(item, {})
                    sink = Sink()
                    number = self._generator.add(ids, self._config(ids, self._rated({})), sink)
                    sinks[place] = sink, number, _Text(self)
            for place, (sink, _, text) in list(sinks.items()):
                part = sink.items.get()
                if not isinstance(part, Part):
                    self._drop(sinks)
                    raise part
                text.add(part)
                if part.reason is not None:
                    del sinks[place]
                    found[place] = self._whole(text)
        return objects(found)

    async def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        """Answers that do not leave in pieces are written at the same time."""
        if request.stream or len(request.items) < 2 or self._closed:
            async with aclosing(cast(AsyncGenerator[Chunk], super().submit(request))) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._last(place, item, request))
                for place, item in enumerate(request.items)
            ]
        found = [task.result() for task in tasks]
        usage = Usage()
        for one in found:
            assert one.usage is not None
            usage = added(usage, one.usage)
        self._count(Usage(inputs=len(found), engine_seconds=usage.engine_seconds))
        yield Chunk([one.outputs[0] for one in found], usage, final=True)

    async def _last(self, place: int, item: Item, request: EngineRequest) -> Chunk:
        async with aclosing(self._one(place, item, request)) as chunks:
            async for chunk in chunks:
                last = chunk
        return last

    async def write(
        self, item: Item, options: Mapping[str, Any]
    ) -> AsyncGenerator[str | Token | ToolCall | Output]:
        if not self._generator.alive:
            await asyncio.to_thread(self._generator.start)
        ids = self._asked_ids(item, options)
        sink = Sink(asyncio.get_running_loop())
        number = self._generator.add(ids, self._config(ids, self._rated(options)), sink)
        text = _Text(self)
        try:
            reason = None
            while reason is None:
                part = await sink.take()
                reason = part.reason
                for piece in text.add(part):
                    yield piece if "logprobs" in options else piece.text
        finally:
            self._generator.stop(number)
        if reason == "refused":
            raise EnvironmentProblem("engines.no_room")
        output = self._decode(objects([self._whole(text)]), True)[0]
        yield {**output, "finish_reason": reason}

    def count(self, text: str) -> int:
        return len(self._ids(text))

    def asked(self, item: Item) -> int:
        return len(self._asked_ids(item, {}))

    def likelihood(self, item: Item, answer: str) -> tuple[float, int]:
        """The log-probability in nats of `answer` to `item`, with its end; and its tokens."""
        text = self._processor.lesson(self._processor.messages(item), answer)
        read, learnt = self._processor.ids(text.prompt), self._processor.ids(text.answer)
        if len(read) + len(learnt) > cast(int, self.context):
            raise InvalidData("engines.prompt_too_long", tokens=len(read), limit=self.context)
        _, found = self._asked_of([*read, *learnt], _echo(len(read)))
        return float(sum(found[len(read) :])), len(learnt)

    def continued(self, context: str, text: str) -> tuple[float, bool]:
        """See `_continuations`; no template is around them."""
        begin = int(self._processor.tokenizer.token_to_id(self._processor.end) or 0)
        read, wanted = parted(self._processor.ids, context, text, begin)
        room = cast(int, self.context) - len(wanted)
        if room < 1:
            raise InvalidData("engines.prompt_too_long", tokens=len(wanted), limit=self.context)
        read = read[-room:]
        if not wanted:
            return 0.0, True
        _, found = self._asked_of([*read, *wanted], _echo(len(read)))
        written, _ = self._asked_of(read, {"max_new_tokens": len(wanted)})
        return float(sum(found[len(read) :])), written == wanted

    def _asked_of(
        self, ids: Sequence[int], config: Mapping[str, Any]
    ) -> tuple[list[int], list[float]]:
        """The tokens, and their log-probabilities, that the model answers `ids` with."""
        sink = Sink()
        number = self._generator.add(ids, config, sink)
        tokens: list[int] = []
        logs: list[float] = []
        reason = None
        try:
            while reason is None:
                part = sink.items.get()
                if not isinstance(part, Part):
                    raise part
                tokens += part.ids
                logs += [one for one in part.logprobs if one is not None]
                reason = part.reason
        finally:
            self._generator.stop(number)
        return tokens, logs

    def warm_up(self) -> None:
        self.raw(self._task.example_items()[:1])

    def close(self) -> None:
        super().close()
        self._generator.close()

    def abandon(self) -> None:
        """Gives up on a model that hangs: every call under way fails."""
        self._generator.close(EnvironmentProblem("engines.abandoned"))

    def _rated(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"logprobs": 0, **options} if self.says_how_sure else options

    def _whole(self, text: _Text) -> Written:
        return Written(text.whole(), text.sure() if self.says_how_sure else None)

    def _drop(self, sinks: Mapping[int, tuple[Sink, int, _Text]]) -> None:
        for _, number, _ in sinks.values():
            self._generator.stop(number)

    def _limit(self, options: Mapping[str, Any], asked: int) -> int:
        return super()._limit({"max_tokens": self._usual, **options}, asked)

    def _config(self, ids: Sequence[int], options: Mapping[str, Any]) -> dict[str, Any]:
        """openvino-genai's `GenerationConfig` of a call's `options`."""
        config: dict[str, Any] = {"max_new_tokens": self._limit(options, len(ids))}
        if "logprobs" in options:
            if options["logprobs"]:
                raise InvalidData("engines.no_alternatives", param="top_logprobs")
            config["logprobs"] = 1
        for name in ("presence_penalty", "frequency_penalty"):
            if options.get(name):
                config[name] = float(options[name])
        temperature = options.get("temperature", 1.0 if "top_p" in options else 0.0)
        if temperature and temperature > 0:
            seed = options.get("seed")
            config |= {
                "do_sample": True,
                "temperature": float(temperature),
                "top_p": float(options.get("top_p", 1.0)),
                "rng_seed": _seed() if seed is None else int(seed) % _SEED_LIMIT,
            }
        schema = _schema(options.get("response_format"))
        if schema is not None:
            config["json_schema"] = schema
        called = _call_schema(options)
        if called is not None:
            config |= {"json_schema": called, "marks": self.CALLS}
        return config

    def _asked_ids(self, item: Item, options: Mapping[str, Any]) -> tuple[int, ...]:
        """The tokens of what is read."""
        tools = options.get("tools") if options.get("tool_choice") != "none" else None
        return self._ids(self._asking.text(item, tools))

    def _encoded(self, text: str) -> tuple[int, ...]:
        return tuple(self._processor.ids(text))


class _Text:
    """The text of one answer, as its tokens come. A character that needs several tokens is held
    until it is whole."""

    def __init__(self, engine: GenaiEngine) -> None:
        self._pieces = engine._pieces
        self._tokenizer = engine._processor.tokenizer
        self._stops = engine._stops
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._ids: list[int] = []
        self._read = ""
        self._held: list[Token] = []
        self._parts: list[str] = []
        self._logprobs: list[float] = []

    def add(self, part: Part) -> list[Token]:
        """Each token with the text that it adds, those of one character together; stop tokens are
        none of the answer's. What is left of a character that was never whole is the last token's:
        a token that is charged leaves, also where the answer ends in the middle of a character."""
        found: list[Token] = []
        self._logprobs += [one for one in part.logprobs if one is not None]
        logprobs: Sequence[float | None] = part.logprobs or [None] * len(part.ids)
        for token, logprob in zip(part.ids, logprobs, strict=False):
            if token not in self._stops:
                self._held.append(Token(self._one(token), logprob))
                if self._held[-1].text:
                    found += self._held
                    self._held = []
        if part.reason is not None:
            found += self._held
            self._held = []
        if found and part.reason is not None:
            found[-1] = found[-1]._replace(text=found[-1].text + self._rest())
        self._parts += [one.text for one in found]
        return found

    def whole(self) -> str:
        """The text of the whole answer."""
        return "".join(self._parts)

    def sure(self) -> float | None:
        """See `sure_of`; None where the tokens' probabilities are not known."""
        return sure_of(self._logprobs)

    def _one(self, token: int) -> str:
        if self._pieces is not None:
            known = self._pieces[token] if token < len(self._pieces) else b""
            return self._decoder.decode(known)
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        if text.endswith("\ufffd"):
            return ""
        added, self._read = text[len(self._read) :], text
        return added

    def _rest(self) -> str:
        if self._pieces is not None:
            return self._decoder.decode(b"", True)
        whole: str = self._tokenizer.decode(self._ids)
        return whole[len(self._read) :]


def prompt(folder: Path, card: Card, item: Item) -> str:
    """What the version in `folder` reads to answer `item`; the model is not opened."""
    processor = tasks.of(card.schema).processor(folder, card.schema.settings)
    assert isinstance(processor, PromptProcessor)
    return Asking(folder, card, processor).text(item)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> GenaiEngine:
    """Opens a version. Raises `EnvironmentProblem` where openvino-genai is not
    installed, `InvalidData` for an architecture that it does not know."""
    needs(GENAI, folder)
    engine = GenaiEngine(folder, card, threads)
    engine.start()
    return engine


def needs(name: str, folder: Path) -> None:
    """Raises `EnvironmentProblem` where the library `name`, which the model in `folder` runs in, is
    not installed."""
    package, extra = _PACKAGES[name]
    if importlib.util.find_spec(package) is None:
        package = package.replace("_", "-")
        raise EnvironmentProblem(
            "engines.needs_language", folder=folder, package=package, extra=extra
        )


def library(header: gguf.Gguf) -> str:
    """The library that a model runs in: llama.cpp where openvino-genai does not know it. Raises
    `InvalidData` where neither is there for it."""
    if importlib.util.find_spec(_PACKAGES[LLAMA_CPP][0]) is None:
        _check(header)
    return GENAI if header.architecture in ARCHITECTURES else LLAMA_CPP


def _check(header: gguf.Gguf) -> None:
    if header.architecture not in ARCHITECTURES:
        raise InvalidData(
            "engines.unknown_gguf",
            file=header.file,
            reason=header.architecture,
            options=ARCHITECTURES,
        )


def header_of(folder: Path) -> gguf.Gguf:
    """The head of the model in `folder`. Raises `CorruptArtifact` for what is no whole GGUF
    file."""
    try:
        return gguf.read(folder / MODEL)
    except InvalidData as error:
        reason = error.params["reason"]
        raise CorruptArtifact("engines.bad_weights", file=folder / MODEL, reason=reason) from None


class OpenModel(NamedTuple):
    """The ids that end an answer, the tokens of prompt and answer at most, how many answers are
    written at once, and the process that does, which is not started yet."""

    stops: set[int]
    context: int
    sequences: int
    generator: Generator


def open_model(
    folder: Path, header: gguf.Gguf, card: Card, name: str, threads: int | None
) -> OpenModel:
    """The model in `folder` for the library `name`."""
    stops = {int(one) for one in card.extra.get("stops", header.stops)}
    context = min(header.context or CONTEXT, CONTEXT)
    sequences = _sequences(header, context, *_SEQUENCES[name])
    settings = {
        "library": name,
        "context": context,
        "sequences": sequences,
        "batch_tokens": _BATCH_TOKENS,
        "stops": sorted(stops),
        "threads": threads,
        "exact": card.precision in _FLOAT,
    }
    generator = Generator(folder / MODEL, settings, _WAITING * sequences)
    return OpenModel(stops, context, sequences, generator)


def _sequences(header: gguf.Gguf, context: int, least: int, most: int, size: int) -> int:
    """How many answers are written at once: as many as `size` bytes hold if all were as long as may
    be."""
    heads = header.number("attention.head_count") or 1
    width = header.number("attention.key_length") or header.number("embedding_length") // heads
    keys = header.number("attention.head_count_kv") or heads
    each = 2 * 2 * context * header.number("block_count") * keys * width
    return min(most, max(least, size // max(1, each)))


def _echo(place: int) -> dict[str, Any]:
    """Asks for the probabilities of the tokens that are read, from `place` on."""
    return {"max_new_tokens": 0, "echo": True, "logprobs": 1, "from": place}


def _seed() -> int:
    from secrets import randbelow

    return randbelow(_SEED_LIMIT)


def _schema(wanted: Any) -> str | None:
    """The JSON schema of OpenAI's ``response_format``, as JSON; None where any text may come."""
    if not isinstance(wanted, Mapping):
        return None
    if wanted.get("type") == "json_object":
        return '{"type": "object"}'
    if wanted.get("type") != "json_schema":
        return None
    return msgspec.json.encode(wanted["json_schema"].get("schema", {})).decode()


def _call_schema(options: Mapping[str, Any]) -> str | None:
    """The JSON schema of the call of a tool that has to come; None where none has to. Arguments
    whose schema refers to parts of itself are held to it when they have come."""
    choice = options.get("tool_choice", "auto")
    if choice in ("auto", "none"):
        return None
    wanted = choice["function"]["name"] if isinstance(choice, Mapping) else None
    forms = []
    for function in (one["function"] for one in options.get("tools", ())):
        if wanted not in (None, function["name"]):
            continue
        arguments = function.get("parameters") or {"type": "object"}
        if "$ref" in msgspec.json.encode(arguments).decode():
            arguments = {"type": "object"}
        forms.append(
            {
                "type": "object",
                "properties": {"name": {"const": function["name"]}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    found = forms[0] if len(forms) == 1 else {"anyOf": forms}
    return msgspec.json.encode(found).decode()
