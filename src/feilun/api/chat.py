"""``POST /v1/chat/completions`` as OpenAI's clients speak it: whole answers and streams."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from feilun.api.answer import Answer, Streamed
from feilun.api.body import Receive, decode
from feilun.api.call import Answered, Call, answer
from feilun.api.context import Api
from feilun.api.encoding import encode
from feilun.api.openai_shapes import LONG, StreamOptions, created, reason, sure, usage_of
from feilun.api.opening import find_model, opened
from feilun.api.options import Asked, ignored, in_range
from feilun.api.routes import ApiOf, bearer_scheme, in_full
from feilun.api.stream import DONE, event, streamed
from feilun.api.trace import Trace
from feilun.errors import InvalidData, PayloadTooLarge, UsageError
from feilun.serving.limits import MAX_TEXT
from feilun.serving.served import Served
from feilun.types import Chunk, Item, Output

__all__ = ["asked_item", "complete", "router"]

router = APIRouter()


class ChatBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /v1/chat/completions`` takes; a field that is not named here is refused by its
    name. Those of the last group are sent by clients of themselves and change no answer: they are
    taken, where they ask for nothing, and not kept."""

    messages: list[dict[str, Any]]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None

    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    modalities: list[str] | None = None
    logit_bias: dict[str, float] | None = None


_decoder = msgspec.json.Decoder(ChatBody)


async def complete(
    api: Api, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace
) -> Answer | Streamed:
    """``POST /v1/chat/completions``."""
    key, raw = await opened(api, headers, receive, trace)
    body = decode(_decoder, raw)
    endpoint, served = find_model(api, key, body.model, trace)
    with served.enter():
        if len(raw) > LONG:
            items, asked = await asyncio.to_thread(_prepared, served, body)
        else:
            items, asked = _prepared(served, body)
        options = asked.honoured(served)
        call = Call(key, endpoint, served, items, options=options, asked=asked, trace=trace)
        if body.stream:
            told = body.stream_options is not None and body.stream_options.include_usage
            return streamed(api, call, _Chunks(served, bool(told)))
        return await answer(api, call, lambda answered: _render(served, answered))


def _prepared(served: Served, body: ChatBody) -> tuple[list[Item], Asked]:
    """The conversation, as often as it is answered, and what is asked of the answers."""
    asked = _asked(body)
    return [asked_item(served, body.messages)] * asked.choices(body.n), asked


def asked_item(
    served: Served, messages: Sequence[Mapping[str, Any]], param: str = "messages"
) -> Item:
    """The conversation as the one input of the task. Raises `UsageError` for a task that answers
    none, `InvalidData` for messages that are none."""
    size = sum(map(_size, messages))
    if size > MAX_TEXT:
        raise PayloadTooLarge("api.text_too_long", given=size, limit=MAX_TEXT, param=param)
    item = served.task.conversation(messages)
    if item is None:
        raise UsageError("chat.not_chat", version=served.id, param="model")
    return item


def _size(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    if isinstance(content, str) and "tool_calls" not in message:
        return len(content)
    return len(encode(message))


def _asked(body: ChatBody) -> Asked:
    """Raises `InvalidData` for what cannot be asked."""
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise InvalidData("chat.two_limits", param="max_tokens")
    if body.stream_options is not None and not body.stream:
        raise InvalidData("chat.options_without_stream", param="stream_options")
    asked = Asked()
    asked.number("max_tokens", body.max_tokens)
    asked.number("max_tokens", body.max_completion_tokens, called="max_completion_tokens")
    for name in ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"):
        asked.number(name, getattr(body, name))
    asked.stop(body.stop)
    in_range("top_logprobs", body.top_logprobs)
    if body.logprobs:
        asked.number("logprobs", body.top_logprobs or 0)
    elif body.top_logprobs:
        raise InvalidData("chat.top_without_logprobs", param="top_logprobs")
    asked.form(body.response_format)
    asked.tools(body.tools, body.tool_choice, body.parallel_tool_calls)
    ignored("store", body.store, (False,))
    ignored("service_tier", body.service_tier, ("auto", "default"))
    ignored("modalities", body.modalities, (["text"],))
    ignored("logit_bias", body.logit_bias, ({},))
    return asked


def _render(served: Served, answered: Answered) -> bytes:
    return encode(
        {
            "id": answered.call_id,
            "object": "chat.completion",
            "created": created(served),
            "model": served.id,
            "choices": [
                _whole(served, place, output) for place, output in enumerate(answered.outputs)
            ],
            "usage": usage_of(answered.usage),
        }
    )


def _whole(served: Served, place: int, output: Output) -> dict[str, Any]:
    text, calls = served.family.text(output), output.get("tool_calls")
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if calls:
        message |= {"content": text or None, "tool_calls": calls}
    told = output.get("logprobs")
    return {
        "index": place,
        "message": message,
        "logprobs": {"content": told, "refusal": None} if told else None,
        "finish_reason": reason(output),
        **sure(output),
    }


class _Chunks:
    """The words of a stream: ``chat.completion.chunk`` objects. The usage stands in the last one;
    where it was asked for that is one without choices, as in OpenAI's streams."""

    def __init__(self, served: Served, usage: bool) -> None:
        self._served = served
        self._usage = usage
        self._calls: dict[int, int] = {}

    def delta(self, call_id: str, chunk: Chunk) -> bytes:
        """See `feilun.api.stream.Words`."""
        place = chunk.index
        delta: dict[str, Any] = {} if place in self._calls else {"role": "assistant"}
        before = self._calls.setdefault(place, 0)
        if chunk.delta or not chunk.calls:
            delta["content"] = chunk.delta
        if chunk.calls:
            numbered = enumerate(chunk.calls, before)
            delta["tool_calls"] = [{"index": number, **one} for number, one in numbered]
            self._calls[place] = before + len(chunk.calls)
        logprobs = {"content": list(chunk.logprobs), "refusal": None} if chunk.logprobs else None
        return self._chunk(call_id, [{**_choice(place, delta), "logprobs": logprobs}])

    def last(self, answered: Answered) -> bytes:
        """See `feilun.api.stream.Words`."""
        usage = usage_of(answered.usage)
        choices = [
            {**_choice(place, {}, reason(output)), **sure(output)}
            for place, output in enumerate(answered.outputs)
        ]
        if not self._usage:
            return self._chunk(answered.call_id, choices, usage) + DONE
        ends = self._chunk(answered.call_id, choices)
        return ends + self._chunk(answered.call_id, [], usage) + DONE

    def _chunk(
        self, call_id: str, choices: Sequence[Any], usage: dict[str, Any] | None = None
    ) -> bytes:
        chunk = {
            "id": call_id,
            "object": "chat.completion.chunk",
            "created": created(self._served),
            "model": self._served.id,
            "choices": choices,
        }
        if self._usage or usage is not None:
            chunk["usage"] = usage
        return event(chunk)


def _choice(place: int, delta: dict[str, Any], ended: str | None = None) -> dict[str, Any]:
    return {"index": place, "delta": delta, "logprobs": None, "finish_reason": ended}


@router.post("/v1/chat/completions", tags=["models"])
async def post_chat_completions(
    request: Request, api: ApiOf, _: Annotated[Any, Depends(bearer_scheme)]
) -> Response:
    """Answers a conversation, in the shape of OpenAI's chat completions."""
    return await in_full(request, api, complete)
