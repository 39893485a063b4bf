"""``POST /v1/responses`` as OpenAI's clients speak it, for texts and tools: whole and in events.

Nothing is kept for later calls: the whole conversation is sent each time, and `store`,
`previous_response_id` and `conversation` are refused where they ask for more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from feilun.api.answer import Answer, Streamed
from feilun.api.body import Receive, decode
from feilun.api.call import Answered, Call, answer
from feilun.api.chat import asked_item
from feilun.api.context import Api
from feilun.api.encoding import encode
from feilun.api.openai_shapes import LONG, StreamOptions, created, details, reason, sure
from feilun.api.opening import find_model, opened
from feilun.api.options import Asked, ignored
from feilun.api.routes import ApiOf, bearer_scheme, in_full
from feilun.api.stream import streamed
from feilun.api.trace import Trace
from feilun.errors import InvalidData, UsageError
from feilun.serving.served import Served
from feilun.store.ids import new_id
from feilun.types import Chunk, Item

__all__ = ["respond", "router"]

router = APIRouter()


class ResponsesBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /v1/responses`` takes; see `feilun.api.chat.ChatBody`."""

    input: str | list[dict[str, Any]]
    model: str | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None

    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    truncation: str | None = None
    background: bool | None = None


_decoder = msgspec.json.Decoder(ResponsesBody)
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_LOGPROBS = "message.output_text.logprobs"


async def respond(
    api: Api, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace
) -> Answer | Streamed:
    """``POST /v1/responses``."""
    key, raw = await opened(api, headers, receive, trace)
    body = decode(_decoder, raw)
    endpoint, served = find_model(api, key, body.model, trace)
    with served.enter():
        if len(raw) > LONG:
            item, asked = await asyncio.to_thread(_prepared, served, body)
        else:
            item, asked = _prepared(served, body)
        options = asked.honoured(served)
        call = Call(key, endpoint, served, [item], options=options, asked=asked, trace=trace)
        if body.stream:
            return streamed(api, call, _Events(served, body))
        return await answer(api, call, lambda answered: _render(served, body, answered))


def _prepared(served: Served, body: ResponsesBody) -> tuple[Item, Asked]:
    asked = Asked()
    asked.number("max_tokens", body.max_output_tokens, called="max_output_tokens")
    for name in ("temperature", "top_p"):
        asked.number(name, getattr(body, name))
    ignored("include", body.include, ([], [_LOGPROBS]))
    if body.include or body.top_logprobs:
        asked.number("logprobs", body.top_logprobs or 0, called="top_logprobs")
    text = dict(body.text or {})
    asked.form(_nested(text.pop("format", None), "json_schema"), "text.format")
    ignored("text.verbosity", text.pop("verbosity", None), ("medium",))
    for name in text:
        raise InvalidData("api.unknown_field", name=name[:80], param=f"text.{name[:80]}")
    tools = [_nested(one, "function") for one in body.tools or ()]
    asked.tools(tools, _chosen(body.tool_choice), body.parallel_tool_calls)
    ignored("store", body.store, (False,))
    ignored("service_tier", body.service_tier, ("auto", "default"))
    ignored("truncation", body.truncation, ("disabled",))
    ignored("background", body.background, (False,))
    return _item(served, body), asked


def _item(served: Served, body: ResponsesBody) -> Item:
    """The input as the task reads it. Raises as `feilun.api.chat.asked_item` does."""
    given = body.input
    if isinstance(given, str):
        if not given.strip():
            raise InvalidData("chat.empty_prompt", param="input")
        messages: list[dict[str, Any]] = [{"role": "user", "content": given}]
    else:
        messages = _messages(given)
    if body.instructions and messages and messages[0]["role"] in ("system", "developer"):
        raise InvalidData("chat.two_systems", param="instructions")
    if body.instructions:
        messages = [{"role": "system", "content": body.instructions}, *messages]
    try:
        return asked_item(served, messages, "input")
    except UsageError as error:
        if error.code != "chat.not_chat" or not isinstance(given, str) or body.instructions:
            raise
        if not served.family.streams:
            raise UsageError("chat.no_texts", version=served.id, param="model") from None
        return served.check([given], "input")[0]


def _messages(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The items of ``input`` as messages of a chat. Raises `InvalidData` for other items."""
    found: list[dict[str, Any]] = []
    for place, one in enumerate(items):
        kind = one.get("type", "message")
        if kind == "message":
            found.append({"role": one.get("role"), "content": one.get("content")})
        elif kind == "function_call":
            function = {"name": one.get("name"), "arguments": one.get("arguments")}
            call = {"id": one.get("call_id"), "type": "function", "function": function}
            if not found or "tool_calls" not in found[-1]:
                found.append({"role": "assistant", "content": None, "tool_calls": []})
            found[-1]["tool_calls"].append(call)
        elif kind == "function_call_output":
            told = {"tool_call_id": one.get("call_id"), "content": one.get("output")}
            found.append({"role": "tool", **told})
        else:
            raise InvalidData("chat.bad_item", given=str(kind)[:40], param=f"input[{place}]")
    return found


def _nested(flat: Any, kind: str) -> Any:
    """What chat completions nest under `kind` and responses write flat."""
    if not isinstance(flat, Mapping) or flat.get("type") != kind or kind in flat:
        return flat
    return {"type": kind, kind: {name: value for name, value in flat.items() if name != "type"}}


def _chosen(choice: str | Mapping[str, Any] | None) -> str | Mapping[str, Any] | None:
    nested: str | Mapping[str, Any] | None = _nested(choice, "function")
    return nested


class _Output:
    """A response while it comes: its items, and the events that tell of them."""

    def __init__(self, served: Served, body: ResponsesBody) -> None:
        self._served = served
        self._body = body
        self._number = 0
        self._items: list[dict[str, Any]] = []
        self._open = False

    def begin(self, call_id: str) -> list[bytes]:
        """What comes before everything else; nothing where it has come."""
        if self._number:
            return []
        head = self.response(call_id, "in_progress")
        return [
            self._event(f"response.{kind}", response=head) for kind in ("created", "in_progress")
        ]

    def add(self, chunk: Chunk) -> list[bytes]:
        """A piece of the text, or calls."""
        told = []
        if chunk.delta or chunk.logprobs:
            told += [] if self._open else self._text()
            part = self._items[-1]["content"][0]
            part["text"] += chunk.delta
            part["logprobs"] += chunk.logprobs
            where = {**self._where(), "content_index": 0}
            more = {"delta": chunk.delta, "logprobs": list(chunk.logprobs)}
            told.append(self._event("response.output_text.delta", **where, **more))
        for call in chunk.calls:
            told += [*self._close(), *self._call(call)]
        return told

    def end(self, answered: Answered) -> list[bytes]:
        """What comes after everything else."""
        told = [] if self._items else self._text()
        status = _status(answered)
        told += self._close(status)
        whole = self.response(answered.call_id, status, answered)
        return [*told, self._event(f"response.{status}", response=whole)]

    def response(
        self, call_id: str, status: str, answered: Answered | None = None
    ) -> dict[str, Any]:
        """The whole as it is now."""
        body = self._body
        told: dict[str, Any] = {
            "id": call_id,
            "object": "response",
            "created_at": created(self._served),
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": self._served.id,
            "output": list(self._items),
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "store": False,
            "temperature": body.temperature,
            "text": body.text or {"format": {"type": "text"}},
            "tool_choice": body.tool_choice or "auto",
            "tools": body.tools or [],
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": None,
        }
        if answered is not None:
            asked, cached, written = details(answered.usage)
            told["usage"] = {
                "input_tokens": asked,
                "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
                "output_tokens": written,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": asked + written,
            }
            if status == "incomplete":
                why = reason(answered.outputs[0])
                told["incomplete_details"] = {"reason": _INCOMPLETE[why]}
            told |= sure(answered.outputs[0])
        return told

    def _text(self) -> list[bytes]:
        self._open = True
        item = {"id": new_id("msg_"), "type": "message", "role": "assistant", "content": []}
        self._items.append({**item, "status": "in_progress"})
        added = self._event("response.output_item.added", item=self._items[-1], **self._at())
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        where = {**self._where(), "content_index": 0}
        told = self._event("response.content_part.added", part=part, **where)
        self._items[-1]["content"].append(part)
        return [added, told]

    def _close(self, status: str = "completed") -> list[bytes]:
        if not self._open:
            return []
        self._open = False
        item = self._items[-1]
        item["status"] = status
        part = item["content"][0]
        where = {**self._where(), "content_index": 0}
        said = {"text": part["text"], "logprobs": part["logprobs"]}
        return [
            self._event("response.output_text.done", **where, **said),
            self._event("response.content_part.done", part=part, **where),
            self._event("response.output_item.done", item=item, **self._at()),
        ]

    def _call(self, call: Mapping[str, Any]) -> list[bytes]:
        function = call["function"]
        item = {
            "id": new_id("fc_"),
            "type": "function_call",
            "call_id": call["id"],
            "name": function["name"],
            "arguments": "",
            "status": "in_progress",
        }
        self._items.append(item)
        told = [self._event("response.output_item.added", item=item, **self._at())]
        said = function["arguments"]
        kind = "response.function_call_arguments"
        told.append(self._event(f"{kind}.delta", delta=said, **self._where()))
        named = {"arguments": said, "name": function["name"]}
        told.append(self._event(f"{kind}.done", **named, **self._where()))
        item |= {"arguments": said, "status": "completed"}
        return [*told, self._event("response.output_item.done", item=item, **self._at())]

    def _at(self) -> dict[str, Any]:
        return {"output_index": len(self._items) - 1}

    def _where(self) -> dict[str, Any]:
        return {"item_id": self._items[-1]["id"], **self._at()}

    def _event(self, kind: str, **more: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        told = encode({"type": kind, "sequence_number": number, **more})
        return b"event: " + kind.encode() + b"\ndata: " + told + b"\n\n"


class _Events:
    """The words of a stream: OpenAI's events of a response; the last one holds all of it."""

    def __init__(self, served: Served, body: ResponsesBody) -> None:
        self._output = _Output(served, body)

    def delta(self, call_id: str, chunk: Chunk) -> bytes:
        """See `feilun.api.stream.Words`."""
        return b"".join([*self._output.begin(call_id), *self._output.add(chunk)])

    def last(self, answered: Answered) -> bytes:
        """See `feilun.api.stream.Words`."""
        return b"".join([*self._output.begin(answered.call_id), *self._output.end(answered)])


def _render(served: Served, body: ResponsesBody, answered: Answered) -> bytes:
    made = _Output(served, body)
    output = answered.outputs[0]
    text, calls = served.family.text(output), output.get("tool_calls", ())
    made.add(Chunk(delta=text, logprobs=output.get("logprobs", ()), calls=calls))
    made.end(answered)
    return encode(made.response(answered.call_id, _status(answered), answered))


def _status(answered: Answered) -> str:
    return "incomplete" if reason(answered.outputs[0]) in _INCOMPLETE else "completed"


@router.post("/v1/responses", tags=["models"])
async def post_responses(
    request: Request, api: ApiOf, _: Annotated[Any, Depends(bearer_scheme)]
) -> Response:
    """Answers a conversation, in the shape of OpenAI's responses."""
    return await in_full(request, api, respond)
