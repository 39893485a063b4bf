"""``POST /v1/completions`` as OpenAI's clients speak it: texts that answer prompts, for every task
whose answers are texts.

Without ``max_tokens`` an answer is as long as the model makes it; OpenAI's own has 16 tokens then.
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
from feilun.api.context import Api
from feilun.api.encoding import encode
from feilun.api.openai_shapes import StreamOptions, created, reason, sure, usage_of
from feilun.api.opening import find_model, opened
from feilun.api.options import MAX_CHOICES, Asked, ignored, in_range
from feilun.api.routes import ApiOf, bearer_scheme, in_full
from feilun.api.stream import DONE, event, streamed
from feilun.api.trace import Trace
from feilun.errors import InvalidData, PayloadTooLarge, UsageError
from feilun.serving.limits import MAX_TEXT
from feilun.serving.served import Served
from feilun.types import Chunk, Item

__all__ = ["continue_", "router"]

router = APIRouter()


class CompletionBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /v1/completions`` takes; see `feilun.api.chat.ChatBody`."""

    prompt: str | list[str | int | list[int]]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: int | None = None

    user: str | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    logit_bias: dict[str, float] | None = None


_decoder = msgspec.json.Decoder(CompletionBody)


async def continue_(
    api: Api, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace
) -> Answer | Streamed:
    """``POST /v1/completions``."""
    key, raw = await opened(api, headers, receive, trace)
    body = decode(_decoder, raw)
    endpoint, served = find_model(api, key, body.model, trace)
    if not served.family.streams:
        raise UsageError("chat.no_texts", version=served.id, param="model")
    with served.enter():
        asked = _asked(body)
        same = asked.choices(body.n)
        items = await asyncio.to_thread(_items, served, body, same)
        options = asked.honoured(served)
        call = Call(key, endpoint, served, items, options=options, asked=asked, trace=trace)
        if body.stream:
            told = body.stream_options is not None and body.stream_options.include_usage
            return streamed(api, call, _Chunks(served, bool(told)))
        return await answer(api, call, lambda answered: _render(served, answered))


def _items(served: Served, body: CompletionBody, same: int) -> list[Item]:
    """The prompts, each as often as it is answered. Raises `InvalidData` for none, an empty one and
    lists of tokens, which only the tokenizer of another model can have made."""
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if not prompts:
        raise InvalidData("chat.empty_prompt", param="prompt")
    if len(prompts) * same > MAX_CHOICES and isinstance(prompts[0], str):
        given = len(prompts) * same
        raise PayloadTooLarge(
            "chat.too_many_answers", given=given, limit=MAX_CHOICES, param="prompt"
        )
    texts: list[Item] = []
    for place, text in enumerate(prompts):
        where = "prompt" if isinstance(body.prompt, str) else f"prompt[{place}]"
        if not isinstance(text, str):
            raise InvalidData("api.token_input", param=where)
        if not text.strip():
            raise InvalidData("chat.empty_prompt", param=where)
        if len(text) > MAX_TEXT:
            raise PayloadTooLarge("api.text_too_long", given=len(text), limit=MAX_TEXT, param=where)
        texts += served.check([text], "prompt")
    return [item for item in texts for _ in range(same)]


def _asked(body: CompletionBody) -> Asked:
    """Raises `InvalidData` for what cannot be asked."""
    if body.stream_options is not None and not body.stream:
        raise InvalidData("chat.options_without_stream", param="stream_options")
    asked = Asked()
    for name in ("max_tokens", "temperature", "top_p", "seed", "logprobs"):
        asked.number(name, getattr(body, name))
    for name in ("frequency_penalty", "presence_penalty"):
        asked.number(name, getattr(body, name))
    asked.stop(body.stop)
    in_range("best_of", body.best_of)
    ignored("best_of", body.best_of, (1, body.n or 1))
    ignored("echo", body.echo, (False,))
    ignored("suffix", body.suffix, ("",))
    ignored("logit_bias", body.logit_bias, ({},))
    return asked


def _render(served: Served, answered: Answered) -> bytes:
    choices = [
        {
            **_choice(place, served.family.text(output), _logprobs(output.get("logprobs", ()))),
            "finish_reason": reason(output),
            **sure(output),
        }
        for place, output in enumerate(answered.outputs)
    ]
    return encode({**_head(served, answered.call_id, choices), "usage": usage_of(answered.usage)})


class _Chunks:
    """The words of a stream: ``text_completion`` objects; see `feilun.api.chat`."""

    def __init__(self, served: Served, usage: bool) -> None:
        self._served = served
        self._usage = usage
        self._sizes: dict[int, int] = {}

    def delta(self, call_id: str, chunk: Chunk) -> bytes:
        """See `feilun.api.stream.Words`."""
        begin = self._sizes.get(chunk.index, 0)
        self._sizes[chunk.index] = begin + len(chunk.delta)
        logprobs = _logprobs(chunk.logprobs, begin)
        return self._chunk(call_id, [_choice(chunk.index, chunk.delta, logprobs)])

    def last(self, answered: Answered) -> bytes:
        """See `feilun.api.stream.Words`."""
        usage = usage_of(answered.usage)
        choices = [
            {**_choice(place, ""), "finish_reason": reason(output), **sure(output)}
            for place, output in enumerate(answered.outputs)
        ]
        if not self._usage:
            return self._chunk(answered.call_id, choices, usage) + DONE
        ends = self._chunk(answered.call_id, choices)
        return ends + self._chunk(answered.call_id, [], usage) + DONE

    def _chunk(
        self, call_id: str, choices: Sequence[Any], usage: dict[str, Any] | None = None
    ) -> bytes:
        told = {} if usage is None and not self._usage else {"usage": usage}
        return event({**_head(self._served, call_id, choices), **told})


def _head(served: Served, call_id: str, choices: Sequence[Any]) -> dict[str, Any]:
    return {
        "id": call_id,
        "object": "text_completion",
        "created": created(served),
        "model": served.id,
        "choices": choices,
    }


def _choice(place: int, text: str, logprobs: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"index": place, "text": text, "logprobs": logprobs, "finish_reason": None}


def _logprobs(told: Sequence[Mapping[str, Any]], begin: int = 0) -> dict[str, Any] | None:
    """Logarithms of probabilities in the older form; `begin` is where the text begins."""
    if not told:
        return None
    offsets = [begin]
    for one in told[:-1]:
        offsets.append(offsets[-1] + len(one["token"]))
    return {
        "tokens": [one["token"] for one in told],
        "token_logprobs": [one["logprob"] for one in told],
        "top_logprobs": [
            {other["token"]: other["logprob"] for other in one["top_logprobs"]} for one in told
        ],
        "text_offset": offsets,
    }


@router.post("/v1/completions", tags=["models"])
async def post_completions(
    request: Request, api: ApiOf, _: Annotated[Any, Depends(bearer_scheme)]
) -> Response:
    """Answers prompts, in the shape of OpenAI's completions."""
    return await in_full(request, api, continue_)
