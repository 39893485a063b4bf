"""The way of one answered call, whatever its body looks like: engine, ledger, answer.

The answer leaves after its ledger event and its log rows are committed. A call that fails is not
charged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from feilun.api.allowance import allowance_headers
from feilun.api.answer import Answer
from feilun.api.body import Disconnected
from feilun.api.context import Api
from feilun.api.guard import Guard
from feilun.api.idempotency import replay
from feilun.api.options import Asked
from feilun.api.trace import Trace
from feilun.billing.admission import Admission
from feilun.billing.rating import UPSTREAM, UPSTREAM_COST, Lines
from feilun.engines.cascade import PASSED_ON
from feilun.serving.caller import caller
from feilun.serving.served import Served
from feilun.store.ids import new_id
from feilun.store.ledger_records import Event, LedgerCall, Prediction
from feilun.store.records import ApiKey
from feilun.types import Item, Output, Usage

__all__ = [
    "Answer",
    "Answered",
    "Call",
    "answer",
    "charge",
    "log_rows",
    "token_count",
    "units_of",
    "usage_counts",
]


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked: who asks, at which endpoint, which version answers, about what. `vectors` are
    asked for instead of labels; they leave no rows for feedback. `options` are what else is asked
    of the engine (see `EngineRequest`), and `asked` what answers must be then. `repeats` marks
    answers that repeat what the caller brought: they are kept only where its inputs are."""

    key: ApiKey
    endpoint: str
    served: Served
    items: Sequence[Item]
    all_scores: bool = False
    explain: bool = False
    vectors: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    asked: Asked = field(default_factory=Asked)
    repeats: bool = False
    trace: Trace = field(default_factory=Trace)


@dataclass(frozen=True, slots=True)
class Answered:
    """What the engine said, before it is put into words of one interface."""

    call_id: str
    outputs: Sequence[Output]
    usage: Usage
    reasons: Sequence[dict[str, Any] | None] | None = None


async def answer(api: Api, call: Call, render: Callable[[Answered], bytes]) -> Answer:
    """Answers `call` and writes it down; `render` puts it into the words of its interface.

    The caller has entered `call.served`. Raises `RateLimited` and `QuotaExceeded` where a limit
    does not let the call through, and what the engine and the ledger raise; then nothing is
    charged.
    """
    served, trace = call.served, call.trace
    trace.lap("parse")
    way = Admission(api.limits, call.key, served.project, call.endpoint, len(call.items))
    async with way as admission:
        guard = Guard(api, served) if served.family.streams else None
        if guard is not None:
            await guard.ask(call.items, call.options)
        answered = await _ask(call)
        if call.asked.options:
            for output in answered.outputs:
                call.asked.check(output, served.family.text(output))
        if guard is not None:
            outputs, usage = await guard.answered(answered.outputs, answered.usage)
            answered = replace(answered, outputs=outputs, usage=usage)
            if guard.active:  # what is masked may fit no more
                call.asked.check_left(outputs, served.family.text)
        body = render(answered)
        trace.lap("engine")
        if caller.get().gone:
            raise Disconnected  # nobody is there to be answered: nothing is charged
        units = units_of(answered.usage)
        lines = api.rates.lines(call.key.customer, served.project, call.endpoint)
        event = charge(api, call, answered, units, lines)
        kept = trace.claim.keep(answered.call_id, body) if trace.claim is not None else None
        outcome = await api.meter.record(LedgerCall([event], log_rows(call, answered), kept))
        trace.lap("ledger")
        if outcome.earlier is not None:  # another server was faster, and its answer is charged
            return replay(outcome.earlier)
        admission.settle(lines.counted(units), sum(outcome.amounts))
    usage = answered.usage
    tokens = token_count(usage)
    api.metrics.answered(served.id, usage.inputs, tokens, usage.engine_seconds)
    if served.abstains:
        api.metrics.abstained(served.id, sum("abstained" in output for output in answered.outputs))
    return Answer(body, tuple(allowance_headers(admission)))


async def _ask(call: Call) -> Answered:
    served = call.served
    everything = call.all_scores or call.explain
    outputs, usage = await served.answer(
        call.items,
        everything,
        call.vectors,
        customer=call.key.customer,
        options=call.options,
    )
    reasons = None
    if call.explain:
        reasons, seconds = await served.explain(call.items, outputs, customer=call.key.customer)
        usage = replace(usage, engine_seconds=usage.engine_seconds + seconds)
    call.trace.lap_engine(usage)
    return Answered(new_id("pred_"), outputs, usage, reasons)


def usage_counts(usage: Usage) -> dict[str, int]:
    """What a caller sees of what its answer consumed."""
    counts = {"inputs": usage.inputs}
    if usage.tokens:
        counts["tokens"] = usage.tokens
    if usage.pixels:
        counts["pixels"] = usage.pixels
    counts.update(usage.units)
    return counts


def units_of(usage: Usage) -> dict[str, int]:
    """What the ledger keeps of one call: what its caller sees, and beside it who answered."""
    passed = {f"{UPSTREAM}{name}": count for name, count in usage.upstream.items() if count}
    return {"calls": 1, **usage_counts(usage), **passed}


def token_count(usage: Usage) -> int:
    """All tokens that were read or written."""
    of_texts = (count for name, count in usage.units.items() if name.startswith("tokens_"))
    return usage.tokens + sum(of_texts)


def charge(
    api: Api, call: Call, answered: Answered, units: Mapping[str, int], lines: Lines
) -> Event:
    """The ledger's event for what an answer used, by the prices of `lines`."""
    served, key, usage = call.served, call.key, answered.usage
    seconds = usage.engine_seconds - usage.upstream_seconds
    paid = api.rates.upstream(served.project).of(usage.upstream)
    return Event(
        call_id=answered.call_id,
        units={**units, UPSTREAM_COST: round(paid)} if paid else units,
        price_version=lines.price_version,
        rates=lines.rated(units),
        currency=lines.currency or served.serving.currency,
        customer=key.customer,
        key_id=key.id,
        project=served.project,
        endpoint=call.endpoint,
        model_version=served.id,
        data_version=served.version.data_version,
        cost=api.costs.cost(
            seconds,
            served.streams,
            served.serving.machine_per_hour,
            paid,
        ),
        engine_us=round(seconds * 1e6),
    )


def log_rows(call: Call, answered: Answered) -> list[Prediction]:
    """What is kept of an answer for feedback, as long as the key's inputs may be."""
    served, key = call.served, call.key
    days = served.feedback.store_inputs if key.store_inputs is None else key.store_inputs
    # A text that was written may repeat what it was asked.
    if call.vectors or ((call.repeats or served.family.streams) and not days):
        return []
    now = datetime.now(UTC)
    expires = now + timedelta(days=days) if days else None
    rows = []
    for index, (item, output) in enumerate(zip(call.items, answered.outputs, strict=True)):
        scores: Mapping[str, Any] | None = output.get("scores")
        rows.append(
            Prediction(
                prediction_id=answered.call_id,
                index=index,
                input=served.task.kept(item, output) if days else None,
                output=_kept(served, output),
                label=served.family.said(output),
                score=served.family.sure(output),
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


def _kept(served: Served, output: Output) -> Output:
    """The answer as its caller sees it, and whether it was passed on."""
    shown = served.family.public(served.family.bare(output), everything=False)
    return {**shown, PASSED_ON: True} if output.get(PASSED_ON) else shown


def _margin(scores: Mapping[str, float]) -> float:
    """Between the two highest scores; 1 where there is only one label."""
    first = second = -1.0
    for score in scores.values():
        if score > first:
            first, second = score, first
        elif score > second:
            second = score
    return round(first - second, 6) if second >= 0 else 1.0
