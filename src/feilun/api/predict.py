"""``POST /v1/predict``: from its body to a call, and from its outputs to the answer.

The same steps up to the engine answer the golden requests of a candidate, which cost nothing and
leave no trace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from feilun.api.answer import Answer, Streamed
from feilun.api.body import PredictBody, Receive, decode, to_items
from feilun.api.call import Answered, Call, answer, usage_counts
from feilun.api.context import Api
from feilun.api.encoding import encode
from feilun.api.opening import find_model, opened
from feilun.api.stream import Events, streamed
from feilun.api.trace import Trace
from feilun.errors import PayloadTooLarge, UsageError
from feilun.serving.limits import MAX_EXPLAINED
from feilun.serving.served import Served
from feilun.types import Item

__all__ = ["answer_golden", "predict"]

_decoder = msgspec.json.Decoder(PredictBody)

_LONG = 32 * 1024
"""Bytes of a body from which checking its inputs would hold up the event loop."""
_LONG_TAGGED = 256 * 1024
"""The same where they are base64: a picture is opened by the engine's threads only."""


async def predict(
    api: Api, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace
) -> Answer | Streamed:
    """``POST /v1/predict``."""
    key, raw = await opened(api, headers, receive, trace)
    body = decode(_decoder, raw)
    endpoint, served = find_model(api, key, body.model, trace)
    with served.enter():
        items = await _prepare(served, raw, body)
        call = Call(key, endpoint, served, items, body.all_scores, body.explain, trace=trace)
        if body.stream:
            if len(items) != 1 or body.explain:
                raise UsageError("api.stream_one", given=len(items), param="stream")
            return streamed(api, call, Events(call))
        return await answer(api, call, lambda answered: _render(served, body, answered))


def _render(served: Served, body: PredictBody, answered: Answered) -> bytes:
    shown = [served.family.public(output, body.all_scores) for output in answered.outputs]
    if answered.reasons is not None:
        for output, reason in zip(shown, answered.reasons, strict=True):
            output["explanation"] = reason
    usage = usage_counts(answered.usage)
    return encode({"id": answered.call_id, "model": served.id, "outputs": shown, "usage": usage})


async def answer_golden(served: Served, raw: bytes) -> bytes:
    """Answers a candidate's golden request: every score, no ledger, no log."""
    body = decode(_decoder, raw)
    with served.enter():
        items = await _prepare(served, raw, body)
        outputs, usage = await served.answer(items, all_scores=True)
    return encode(
        {
            "model": served.id,
            "outputs": [served.family.public(output, everything=True) for output in outputs],
            "usage": usage_counts(usage),
        }
    )


async def _prepare(served: Served, raw: bytes, body: PredictBody) -> list[Item]:
    """Checked items. Long bodies are looked at beside the event loop."""

    def work() -> list[Item]:
        items = to_items(body, served.serving.max_inputs)
        if body.explain and len(items) > MAX_EXPLAINED:
            raise PayloadTooLarge(
                "api.too_many_to_explain", given=len(items), limit=MAX_EXPLAINED, param="inputs"
            )
        return served.check(items)

    if len(raw) > _LONG and (len(raw) > _LONG_TAGGED or b"$base64" not in raw):
        return await asyncio.to_thread(work)
    return work()
