"""``POST /v1/chat/completions`` as OpenAI's clients speak it: whole answers and streams."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from feilun.api.answer import Answer, Streamed, whole
from feilun.api.body import Receive, decode
from feilun.api.call import Answered, Call, answer
from feilun.api.context import Api
from feilun.api.opening import find_model, opened
from feilun.api.routes import ApiOf, bearer_scheme
from feilun.api.stream import DONE, event, streamed
from feilun.api.trace import Trace
from feilun.errors import InvalidData, PayloadTooLarge, UsageError
from feilun.serving.limits import MAX_TEXT
from feilun.serving.served import Served
from feilun.types import Item, Usage

__all__ = ["complete", "router"]

router = APIRouter()

_LONG = 32 * 1024
"""Bytes of a body from which checking its messages would hold up the event loop."""
_RANGES = (
    ("max_tokens", 1, 1_000_000),
    ("max_completion_tokens", 1, 1_000_000),
    ("temperature", 0, 2),
    ("top_p", 0, 1),
)
"""Fields that are numbers within limits."""

_encode = msgspec.json.Encoder().encode


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """What a stream tells besides its text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /v1/chat/completions`` takes. `user` is taken and not kept; a field that is not
    named here is refused by its name."""

    messages: list[dict[str, Any]]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    n: int | None = None
    user: str | None = None


_decoder = msgspec.json.Decoder(ChatBody)


async def complete(
    api: Api, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace
) -> Answer | Streamed:
    """``POST /v1/chat/completions``."""
    key, raw = await opened(api, headers, receive, trace)
    body = decode(_decoder, raw)
    options = _options(body)
    endpoint, served = find_model(api, key, body.model, trace)
    with served.enter():
        if len(raw) > _LONG:
            items = await asyncio.to_thread(_items, served, body)
        else:
            items = _items(served, body)
        call = Call(key, endpoint, served, items, options=options, trace=trace)
        if body.stream:
            told = body.stream_options is not None and body.stream_options.include_usage
            return streamed(api, call, _Chunks(served, bool(told)))
        return await answer(api, call, lambda answered: _render(served, answered))


def _items(served: Served, body: ChatBody) -> list[Item]:
    """The conversation as the one input of the task. Raises `UsageError` for a task that answers
    none, `InvalidData` for messages that are none."""
    size = sum(map(_size, body.messages))
    if size > MAX_TEXT:
        raise PayloadTooLarge("api.text_too_long", given=size, limit=MAX_TEXT, param="messages")
    item = served.task.conversation(body.messages)
    if item is None:
        raise UsageError("chat.not_chat", version=served.id, param="model")
    return [item]


def _size(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    return len(content) if isinstance(content, str) else len(_encode(content))


def _options(body: ChatBody) -> dict[str, Any]:
    """How the answer is to be written. Raises `InvalidData` for values that cannot be."""
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise InvalidData("chat.two_limits", param="max_tokens")
    if body.stream_options is not None and not body.stream:
        raise InvalidData("chat.options_without_stream", param="stream_options")
    if body.n not in (None, 1):
        raise InvalidData("chat.one_choice", given=body.n, param="n")
    for name, least, most in _RANGES:
        given = getattr(body, name)
        if given is not None and not least <= given <= most:
            raise InvalidData(
                "chat.out_of_range", given=given, least=least, most=f"{most:,}", param=name
            )
    limit = body.max_tokens or body.max_completion_tokens
    wanted = {
        "max_tokens": limit,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "seed": body.seed,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _reason(answered: Answered) -> str:
    return str(answered.outputs[0].get("finish_reason", "stop"))


def _usage(usage: Usage) -> dict[str, int]:
    asked, written = (usage.units.get(name, 0) for name in ("tokens_in", "tokens_out"))
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}


def _created(served: Served) -> int:
    return int(served.version.created.timestamp())


def _sure(answered: Answered) -> dict[str, Any]:
    """What feilun says beyond OpenAI's fields: how sure the answer is, and whether it is none."""
    output = answered.outputs[0]
    return {name: output[name] for name in ("score", "abstained") if name in output}


def _render(served: Served, answered: Answered) -> bytes:
    text = served.family.text(answered.outputs[0])
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _reason(answered),
        **_sure(answered),
    }
    return _encode(
        {
            "id": answered.call_id,
            "object": "chat.completion",
            "created": _created(served),
            "model": served.id,
            "choices": [choice],
            "usage": _usage(answered.usage),
        }
    )


class _Chunks:
    """The words of a stream: ``chat.completion.chunk`` objects; the last one has the usage, where
    it was asked for."""

    def __init__(self, served: Served, usage: bool) -> None:
        self._served = served
        self._usage = usage
        self._begun = False

    def delta(self, call_id: str, text: str) -> bytes:
        """See `feilun.api.stream.Words`."""
        role = {} if self._begun else {"role": "assistant"}
        self._begun = True
        return self._chunk(call_id, [_choice({**role, "content": text})])

    def last(self, answered: Answered) -> bytes:
        """See `feilun.api.stream.Words`."""
        choice = {**_choice({}, _reason(answered)), **_sure(answered)}
        ends = self._chunk(answered.call_id, [choice])
        if self._usage:
            ends += self._chunk(answered.call_id, [], _usage(answered.usage))
        return ends + DONE

    def _chunk(
        self, call_id: str, choices: Sequence[Any], usage: dict[str, int] | None = None
    ) -> bytes:
        chunk = {
            "id": call_id,
            "object": "chat.completion.chunk",
            "created": _created(self._served),
            "model": self._served.id,
            "choices": choices,
        }
        if self._usage:
            chunk["usage"] = usage
        return event(chunk)


def _choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


@router.post("/v1/chat/completions", tags=["models"])
async def post_chat_completions(
    request: Request, api: ApiOf, _: Annotated[Any, Depends(bearer_scheme)]
) -> Response:
    """Answers a conversation, in the shape of OpenAI's chat completions."""
    # The door answers this path before the router sees it; here it is for tests and documentation.
    headers = dict(request.scope["headers"])
    made = await whole(await complete(api, headers, request.receive, Trace()))
    more = {name.decode(): value.decode() for name, value in made.headers}
    kind = more.get("content-type", "application/json")
    return Response(made.body, headers=more, media_type=kind)
