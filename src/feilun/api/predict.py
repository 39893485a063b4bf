"""The way of a call: key, body, engine, ledger, answer.

The answer leaves after its ledger event and its log rows are committed. A call that fails is not
charged. The same steps up to the engine answer the golden requests of a candidate, which cost
nothing and leave no trace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import msgspec

from feilun.api.body import PredictBody, Receive, decode, read_body, to_items
from feilun.api.context import Api
from feilun.billing.prices import amount_of
from feilun.errors import PayloadTooLarge
from feilun.serving.limits import MAX_EXPLAINED
from feilun.serving.served import Served
from feilun.store.ids import new_id
from feilun.store.records import ApiKey, Event, Prediction
from feilun.types import Item, Output, Usage

__all__ = ["answer_golden", "predict"]

_decoder = msgspec.json.Decoder(PredictBody)
_encode = msgspec.json.Encoder().encode

_LONG = 32 * 1024
"""Bytes of a body from which checking its inputs would hold up the event loop."""


async def predict(api: Api, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """``POST /v1/predict``: the JSON body of the answer."""
    key = await api.authorise(headers)
    raw = await read_body(receive, headers)
    body = decode(_decoder, raw)
    endpoint, served = api.models.find(body.model, key.project)
    start = perf_counter()
    with served.enter():
        items = await _prepare(served, raw, body)
        outputs, usage = await served.answer(items, body.all_scores or body.explain)
        reasons = None
        if body.explain:
            reasons, seconds = await served.explain(items, outputs)
            usage = replace(usage, engine_seconds=usage.engine_seconds + seconds)
    answered = perf_counter()
    call_id = new_id("pred_")
    rows = _log_rows(call_id, served, key, items, outputs)
    event = _charge(api, call_id, served, key, endpoint, usage)
    await api.meter.record(event, rows)
    committed = perf_counter()
    api.metrics.answered(served.id, usage.inputs, usage.tokens, usage.engine_seconds)
    api.metrics.stages(answered - start, committed - answered)
    if served.abstains:
        api.metrics.abstained(served.id, sum("abstained" in output for output in outputs))
    shown = [_public(output, body.all_scores) for output in outputs]
    if reasons is not None:
        for output, reason in zip(shown, reasons, strict=True):
            output["explanation"] = reason
    return _encode({"id": call_id, "model": served.id, "outputs": shown, "usage": _usage(usage)})


async def answer_golden(served: Served, raw: bytes) -> bytes:
    """Answers a candidate's golden request: every score, no ledger, no log."""
    body = decode(_decoder, raw)
    with served.enter():
        items = await _prepare(served, raw, body)
        outputs, usage = await served.answer(items, all_scores=True)
    return _encode(
        {
            "model": served.id,
            "outputs": [_public(output, all_scores=True) for output in outputs],
            "usage": _usage(usage),
        }
    )


async def _prepare(served: Served, raw: bytes, body: PredictBody) -> list[Item]:
    """Checked items. Long bodies and pictures are looked at beside the event loop."""

    def work() -> list[Item]:
        items = to_items(body, served.serving.max_inputs)
        if body.explain and len(items) > MAX_EXPLAINED:
            raise PayloadTooLarge(
                "api.too_many_to_explain", given=len(items), limit=MAX_EXPLAINED, param="inputs"
            )
        return served.check(items)

    if len(raw) > _LONG or b"$base64" in raw:
        return await asyncio.to_thread(work)
    return work()


def _public(output: Output, all_scores: bool) -> Output:
    """What the caller sees: scores to six digits, all of them only where asked for."""
    public = {name: value for name, value in output.items() if name != "scores"}
    if "score" in public:
        public["score"] = round(public["score"], 6)
    if all_scores and "scores" in output:
        public["scores"] = {label: round(score, 6) for label, score in output["scores"].items()}
    return public


def _usage(usage: Usage) -> dict[str, int]:
    counts = {"inputs": usage.inputs}
    if usage.tokens:
        counts["tokens"] = usage.tokens
    if usage.pixels:
        counts["pixels"] = usage.pixels
    return counts


def _charge(
    api: Api, call_id: str, served: Served, key: ApiKey, endpoint: str, usage: Usage
) -> Event:
    price = api.prices.current(served.project)
    return Event(
        call_id=call_id,
        units={"calls": 1, **_usage(usage)},
        price_version=price.id if price else None,
        amount=amount_of(price, usage.inputs),
        currency=price.currency if price else served.serving.currency,
        customer=key.customer,
        key_id=key.id,
        project=served.project,
        endpoint=endpoint,
        model_version=served.id,
        data_version=served.version.data_version,
        cost=api.costs.cost(usage.engine_seconds, served.streams, served.serving.machine_per_hour),
        engine_us=round(usage.engine_seconds * 1e6),
    )


def _log_rows(
    call_id: str,
    served: Served,
    key: ApiKey,
    items: Sequence[Item],
    outputs: Sequence[Output],
) -> list[Prediction]:
    days = served.feedback.store_inputs if key.store_inputs is None else key.store_inputs
    now = datetime.now(UTC)
    expires = now + timedelta(days=days) if days else None
    rows = []
    for index, (item, output) in enumerate(zip(items, outputs, strict=True)):
        scores: Mapping[str, Any] | None = output.get("scores")
        rows.append(
            Prediction(
                prediction_id=call_id,
                index=index,
                input=item if days else None,
                output=_public(output, all_scores=False),
                label=output.get("label"),
                score=output.get("score"),
                margin=_margin(scores) if scores else None,
                model_version=served.id,
                project=served.project,
                customer=key.customer,
                key_id=key.id,
                expires=expires,
                stored=bool(days),
                created=now,
            )
        )
    return rows


def _margin(scores: Mapping[str, float]) -> float:
    """Between the two highest scores; 1 where there is only one label."""
    first = second = -1.0
    for score in scores.values():
        if score > first:
            first, second = score, first
        elif score > second:
            second = score
    return round(first - second, 6) if second >= 0 else 1.0
