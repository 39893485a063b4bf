"""Another server that speaks OpenAI's chat completions answers: vLLM, Ollama, a paid API.

A version is a card alone: the address, the model's name there, and the environment variable with
the key. Only who operates the workspace writes such a card; no caller and no row names an address,
and a redirect is not followed. What the other server says is not believed further than it is sound:
its counts of tokens are taken where they are within what was held.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np

from feilun.config import UPSTREAM_KEY
from feilun.engines._labelling import LabellingEngine
from feilun.engines._streaming import MAX_TOKENS, StreamingEngine, ToolCall
from feilun.engines.card import Card
from feilun.errors import BadAnswer, EnvironmentProblem, FeilunError, InvalidData, Overloaded
from feilun.families.generation import Written, objects
from feilun.modalities.language import conversations
from feilun.tasks import base as tasks
from feilun.types import Chunk, EngineRequest, Item, Output, Schema

__all__ = ["FORMATS", "METHOD", "UpstreamEngine", "address_of", "load"]

FORMATS = ("upstream",)
METHOD = "upstream"
"""What stands for the training method of such a version; nothing trains it."""

_CONNECT, _SILENT = 10.0, 60.0  # seconds to connect, and between two pieces
_LONGEST_LINE = 1 << 20  # characters of one event
_ANSWERS = 64  # that are under way at once
_AT_ONCE = 8  # questions of an evaluation that are under way
_PER_MESSAGE = 16  # tokens of a template around a message, at most
_SHOWN = 300


class UpstreamEngine(StreamingEngine):
    """Passes conversations on. Until the other server has told its counts, a piece is a token."""

    name = "upstream"
    OPTIONS: ClassVar = frozenset(
        {"temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"}
        | {"response_format", "tools", "tool_choice", "parallel_tool_calls"}
    )

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        extra = card.extra
        self._address = address_of(str(extra.get("address", "")))
        self._model = str(extra.get("model", ""))
        self._key = str(extra.get("key", UPSTREAM_KEY))
        self.longest = int(extra.get("longest", MAX_TOKENS))
        self._clients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}
        self._said: Callable[[Item], str | None] = lambda item: None

    @property
    def info(self) -> Mapping[str, Any]:
        more = {"device": "-", "streams": _ANSWERS, "costly": True, "remote": True}
        return {**super().info, **more}

    def remember(self, said: Callable[[Item], str | None]) -> None:
        """What the other server `said` of an item before, None where it was not asked: `raw` does
        not ask it again."""
        self._said = said

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        def ask(item: Item) -> Written:
            said = self._said(item)
            return Written(asyncio.run(self._whole(item)) if said is None else said)

        with ThreadPoolExecutor(_AT_ONCE, "feilun-upstream") as pool:
            return objects(list(pool.map(ask, items)))

    async def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        async with aclosing(cast(AsyncGenerator[Chunk], super().submit(request))) as chunks:
            async for chunk in chunks:
                used = chunk.usage
                assert used is not None
                upstream = {"inputs": used.inputs, **used.units}
                used = replace(used, upstream=upstream, upstream_seconds=used.engine_seconds)
                yield replace(chunk, usage=used)

    async def write(
        self, item: Item, options: Mapping[str, Any]
    ) -> AsyncGenerator[str | ToolCall | Output]:
        usage: Mapping[str, int] | None = None
        reason, text = None, ""
        calls: dict[int, list[str]] = {}
        async with self._events(self._body(item, options)) as events:
            async for event in events:
                usage = self._told(event.get("usage"), item, options) or usage
                choices = event.get("choices")
                if not choices:
                    continue
                delta, reason = _choice(choices, reason)
                piece = delta.get("content")
                if isinstance(piece, str) and piece:
                    text += piece
                    yield piece
                _collect(calls, delta.get("tool_calls"))
        if reason is None:
            raise BadAnswer("engines.upstream_broken", address=self._host, reason="EOF")
        for name, *arguments in calls.values():
            yield ToolCall(name, "".join(arguments))
        told = self._task.family.cut(text)
        told["finish_reason"] = reason if reason in ("stop", "length") else "stop"
        yield told | ({"usage": usage} if usage is not None else {})

    def count(self, text: str) -> int:
        """At most: a token has a byte at least."""
        return len(text.encode("utf-8", "replace")) or 1

    def asked(self, item: Item) -> int:
        messages = conversations.messages_of(str(item))
        return sum(self.count(str(one.content)) + _PER_MESSAGE for one in messages)

    def warm_up(self) -> None:
        """Nothing: an answer may cost money."""

    def predict(self, items: Sequence[Item], all_scores: bool = False) -> list[Output]:
        return self._decode(self.raw(items), all_scores)

    def close(self) -> None:
        super().close()
        clients, self._clients = self._clients, {}
        for loop, client in clients.items():
            with suppress(RuntimeError):  # a loop that has ended has closed what was its
                asyncio.run_coroutine_threadsafe(client.aclose(), loop)

    @property
    def _host(self) -> str:
        return urlsplit(self._address).netloc

    async def _whole(self, item: Item) -> str:
        request = EngineRequest([item])
        try:
            async for chunk in self.submit(request):
                if chunk.final:
                    return self._task.family.text(chunk.outputs[0])
        finally:
            await self.leave()
        return ""

    async def leave(self) -> None:
        """Closes what belongs to the running loop, before it ends."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _body(self, item: Item, options: Mapping[str, Any]) -> dict[str, Any]:
        messages = [one.plain() for one in conversations.messages_of(str(item))]
        return {
            "model": self._model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": self._limit(options, self.asked(item)),
            **{name: options[name] for name in self.OPTIONS if name in options},
        }

    @asynccontextmanager
    async def _events(self, body: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[Any]]:
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        if key := os.environ.get(self._key):
            headers["authorization"] = f"Bearer {key}"
        url, content = f"{self._address}/chat/completions", msgspec.json.encode(body)
        try:
            async with self._client().stream(
                "POST", url, content=content, headers=headers
            ) as response:
                if response.status_code != 200:
                    raise await self._refused(response)
                yield self._read(response)
        except httpx.TimeoutException:
            raise BadAnswer(
                "engines.upstream_silent", address=self._host, seconds=_SILENT
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise BadAnswer(
                "engines.upstream_broken", address=self._host, reason=reason[:_SHOWN]
            ) from None

    async def _read(self, response: httpx.Response) -> AsyncIterator[Any]:
        """The events of a stream, up to the one that ends it."""
        async for line in _lines(response, self._host):
            if not line.startswith("data:"):
                continue
            data = line[5:].strip()
            if data == "[DONE]":
                return
            try:
                event = msgspec.json.decode(data.encode("utf-8", "replace"))
            except msgspec.DecodeError:
                event = None
            if not isinstance(event, dict):
                raise BadAnswer("engines.upstream_broken", address=self._host, reason=data[:80])
            if event.get("error"):
                said = event["error"]
                said = said.get("message") if isinstance(said, dict) else said
                raise BadAnswer(
                    "engines.upstream_broken", address=self._host, reason=str(said)[:_SHOWN]
                )
            yield event

    async def _refused(self, response: httpx.Response) -> FeilunError:
        status, host = response.status_code, self._host
        body = b""
        with suppress(httpx.HTTPError):
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _LONGEST_LINE:
                    break
        reason = _reason(body) or response.reason_phrase
        if status in (401, 403):
            return EnvironmentProblem("engines.upstream_key", address=host, variable=self._key)
        if status == 429:
            return Overloaded("engines.upstream_busy", address=host, retry_after=5.0)
        if status in (400, 413, 422):
            return InvalidData("engines.upstream_refused", address=host, reason=reason)
        return BadAnswer(
            "engines.upstream_failed", address=host, status=status, reason=reason[:_SHOWN]
        )

    def _told(self, told: Any, item: Item, options: Mapping[str, Any]) -> Mapping[str, int] | None:
        """The counts that the other server states, as far as they are within what was held."""
        if not isinstance(told, dict):
            return None
        read, written = _count(told.get("prompt_tokens")), _count(told.get("completion_tokens"))
        if read is None or written is None:
            return None
        most = self.asked(item)
        return {
            "tokens_in": min(read, most),
            "tokens_out": min(written, self._limit(options, most)),
        }

    def _client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = httpx.AsyncClient(
                follow_redirects=False,
                timeout=httpx.Timeout(_SILENT, connect=_CONNECT),
                limits=httpx.Limits(max_connections=None),
            )
        return self._clients[loop]


def load(
    folder: Path, card: Card, *, streams: int | None, threads: int | None
) -> UpstreamEngine | LabellingEngine:
    """Opens a version; the other server is not asked anything yet."""
    if tasks.of(card.schema).family.streams:
        return UpstreamEngine(card)
    return LabellingEngine(card, UpstreamEngine(replace(card, schema=Schema("chat", (), {}))))


def address_of(given: str) -> str:
    """The address of an API as it is kept, such as ``https://api.example.com/v1``. Raises
    `InvalidData` for one that is none, or that holds a password."""
    try:
        parts = urlsplit(given.strip().rstrip("/"))
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        known = False
    if not known or parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidData("engines.upstream_address", given=given[:200])
    return parts.geturl().removesuffix("/chat/completions")


async def _lines(response: httpx.Response, host: str) -> AsyncIterator[str]:
    """The lines of a stream. A line that never ends is none."""
    rest = ""
    async for text in response.aiter_text():
        rest += text
        *whole, rest = rest.split("\n")
        for line in whole:
            yield line.rstrip("\r")
        if len(rest) > _LONGEST_LINE:
            raise BadAnswer("engines.upstream_broken", address=host, reason=f"{len(rest):,}")
    if rest:
        yield rest


def _choice(choices: Any, reason: str | None) -> tuple[Mapping[str, Any], str | None]:
    first = choices[0] if isinstance(choices, list) else None
    if not isinstance(first, dict):
        return {}, reason
    delta, ended = first.get("delta"), first.get("finish_reason")
    return (
        delta if isinstance(delta, dict) else {},
        ended if isinstance(ended, str) and ended else reason,
    )


def _collect(calls: dict[int, list[str]], told: Any) -> None:
    """Adds a piece of tool calls to those that are under way: their names, then arguments."""
    for one in told if isinstance(told, list) else ():
        function = one.get("function") if isinstance(one, dict) else None
        if not isinstance(function, dict):
            continue
        place = one.get("index", 0)
        call = calls.setdefault(place if isinstance(place, int) else 0, [""])
        call[0] += str(function.get("name") or "")
        call.append(str(function.get("arguments") or ""))


def _reason(body: bytes) -> str:
    with suppress(msgspec.DecodeError, AttributeError):
        error = msgspec.json.decode(body).get("error")
        return str(error.get("message") if isinstance(error, dict) else error)[:_SHOWN]
    return body[:_SHOWN].decode("utf-8", "replace").strip()


def _count(value: Any) -> int | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if sound else None
