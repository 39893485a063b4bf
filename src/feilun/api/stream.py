"""Answers in pieces: held before they begin, written token by token, charged as delivered.

A stream begins with a hold of the most that it may come to (`feilun.billing.holds`) and ends by
settling what left the server while its caller was there: also when the caller hangs up, when the
engine fails, or when its time is over. Where nothing was delivered the hold is released. A server
that is killed leaves the hold behind; it ends by itself, and nothing is charged.

An answer that was delivered whole counts as an input, and so does one that its caller broke off.
One that broke off here counts none: of it the tokens alone are charged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from feilun.api.answer import Streamed, Write
from feilun.api.body import Disconnected
from feilun.api.call import Answered, Call, charge, log_rows, usage_counts
from feilun.api.context import Api
from feilun.billing import holds
from feilun.billing.passage import Passage
from feilun.errors import EnvironmentProblem, FeilunError, PayloadTooLarge, UsageError
from feilun.serving.caller import caller
from feilun.store.ids import new_id
from feilun.store.records import CallOutcome, Event, Idempotent, LedgerCall
from feilun.types import Output, Usage

__all__ = ["DONE", "Events", "Words", "event", "streamed"]

log = logging.getLogger("feilun.api")

DONE = b"data: [DONE]\n\n"
"""What ends a stream, as OpenAI's do."""

_SPARE = timedelta(minutes=1)
"""How much longer a hold stands than its stream may take: for writing down how it ended."""
_PAUSE = 0.5

_encode = msgspec.json.Encoder().encode


def event(value: Any) -> bytes:
    """A server-sent event with `value` as JSON."""
    return b"data: " + _encode(value) + b"\n\n"


class Words(Protocol):
    """How one interface words a stream."""

    def delta(self, call_id: str, text: str) -> bytes:
        """A piece of the answer's text."""
        ...

    def last(self, answered: Answered) -> bytes:
        """What ends a stream that is whole, with its usage."""
        ...


class Events:
    """The words of ``POST /v1/predict``."""

    def __init__(self, call: Call) -> None:
        self._served = call.served

    def delta(self, call_id: str, text: str) -> bytes:
        """See `Words`."""
        return event({"id": call_id, "model": self._served.id, "index": 0, "delta": text})

    def last(self, answered: Answered) -> bytes:
        """The whole answer, as it would have come at once."""
        shown = [self._served.family.public(one, everything=False) for one in answered.outputs]
        usage = usage_counts(answered.usage)
        body = {"id": answered.call_id, "model": self._served.id, "outputs": shown, "usage": usage}
        return event(body) + DONE


def streamed(api: Api, call: Call, words: Words) -> Streamed:
    """Answers `call`, which has one input, in pieces. Raises `UsageError` where answers are no
    texts. Before the first piece it raises what `feilun.api.call.answer` raises, and nothing is
    charged then."""
    if not call.served.family.streams:
        raise UsageError("api.no_stream", version=call.served.id, param="stream")

    async def run(write: Write) -> None:
        await _run(api, call, words, write)

    return Streamed(run)


async def _run(api: Api, call: Call, words: Words, write: Write) -> None:
    served, key, trace, who = call.served, call.key, call.trace, caller.get()
    trace.lap("parse")
    with served.enter():
        units = {"calls": 1, **await served.most(call.items, call.options)}
        account = _Account(api, call, units)
        most = units, account.amount
        size = len(call.items)
        way = Passage(api.limits, key, served.project, call.endpoint, size, most)
        async with way as account.passage:
            await account.hold()
            parts: list[bytes] = []

            async def deliver(text: str, usage: Usage) -> None:
                part = words.delta(account.call_id, text)
                if who.gone:
                    raise Disconnected
                await write(part)
                if who.gone:
                    raise Disconnected
                account.delivered(text, usage)
                if trace.claim is not None:
                    parts.append(part)

            try:
                whole = await _pieces(call, account, deliver)
            except BaseException as error:
                await account.broken(error)
                raise
            trace.lap("engine")
            last = words.last(whole)
            kept = None
            if trace.claim is not None:
                with suppress(PayloadTooLarge):
                    kept = trace.claim.keep(whole.call_id, b"".join([*parts, last]))
            await account.whole(whole, kept)
            trace.lap("ledger")
            await write(last)
    usage = whole.usage
    tokens = usage.tokens + sum(usage.units.values())
    api.metrics.answered(served.id, usage.inputs, tokens, usage.engine_seconds)
    if served.abstains:
        api.metrics.abstained(served.id, sum("abstained" in one for one in whole.outputs))


async def _pieces(call: Call, account: _Account, deliver: Any) -> Answered:
    """Delivers the pieces as they come; the whole answer."""
    served = call.served
    outputs: Sequence[Output] = ()
    usage = Usage()
    customer = call.key.customer
    async with served.streaming(call.items, call.options, customer=customer) as chunks:
        async for chunk in chunks:
            usage = chunk.usage or usage
            if chunk.outputs:
                outputs = chunk.outputs
            elif chunk.delta:
                await deliver(chunk.delta, usage)
    if len(outputs) != 1:
        raise EnvironmentProblem("serving.incomplete", version=served.id)
    if not account.text and (text := served.family.text(outputs[0])):
        await deliver(text, usage)  # of an engine that answers at once
    return Answered(account.call_id, outputs, usage)


class _Account:
    """What one stream holds and comes to. `amount` is the most that `units` can cost, `text` what
    has been delivered."""

    passage: Passage

    def __init__(self, api: Api, call: Call, units: dict[str, int]) -> None:
        self._api = api
        self._call = call
        self._lines = api.rates.lines(
            call.key.customer, call.served.project, call.endpoint
        )  # the prices of its beginning hold to its end
        self.amount = self._lines.most(units)
        self.call_id = new_id("pred_")
        self.text = ""
        self._used = Usage()
        most = Answered(self.call_id, (), Usage())
        self._held = replace(charge(api, call, most, units, self._lines), amount=self.amount)
        self._until = datetime.now(UTC)

    async def hold(self) -> None:
        """Puts the hold on record. Raises what `Meter.record` raises."""
        seconds = self._call.served.serving.deadline
        self._until = datetime.now(UTC) + timedelta(seconds=seconds) + _SPARE
        outcome = await self._api.meter.record(holds.hold(self._held, self._until))
        if outcome.error is not None:
            raise outcome.error
        self.passage.held()

    def delivered(self, text: str, usage: Usage) -> None:
        """`text` has left while the caller was there; all so far used `usage`."""
        self.text += text
        self._used = usage

    async def whole(self, answered: Answered, kept: Idempotent | None) -> None:
        """Settles an answer that was delivered whole. Raises `Gone` when the hold is over."""
        await self._settle(answered, "ok", kept)

    async def broken(self, error: BaseException) -> None:
        """Settles what was delivered of an answer that broke off, or releases the hold."""
        code = error.code if isinstance(error, FeilunError) else "internal"
        left = isinstance(error, Disconnected | asyncio.CancelledError)
        if left:
            code = "disconnected" if isinstance(error, Disconnected) else "stopped"
        if not self.text:
            await self._end(holds.release(self._held, code))
            return
        usage = replace(self._used, inputs=1 if isinstance(error, Disconnected) else 0)
        output = self._call.served.family.cut(self.text)
        with suppress(FeilunError):  # the caller is told what broke it off
            await self._settle(Answered(self.call_id, [output], usage), code, None)

    async def _settle(self, answered: Answered, code: str, kept: Idempotent | None) -> None:
        units = {"calls": 1, **usage_counts(answered.usage)}
        made: Event = charge(self._api, self._call, answered, units, self._lines)
        rows = log_rows(self._call, answered)
        outcome = await self._end(holds.settle(replace(made, outcome=code), rows, kept))
        if outcome is None:
            return
        if outcome.earlier is not None:  # another server was faster: its answer is charged
            await self._end(holds.release(self._held, code))
            return
        self.passage.settle(units, sum(outcome.amounts))

    async def _end(self, call: LedgerCall) -> CallOutcome | None:
        """Puts the end on record, whatever becomes of the caller meanwhile; None where it is there
        already, or the hold ended by itself while the database was away."""
        task = asyncio.create_task(self._write(call), name="feilun-settle")
        self._api.ending.add(task)
        task.add_done_callback(self._api.ending.discard)
        return await asyncio.shield(task)

    async def _write(self, call: LedgerCall) -> CallOutcome | None:
        tried = False
        while True:
            try:
                return await self._api.meter.record(call)
            except EnvironmentProblem as problem:
                # Perhaps it is on record, and only the word of it was lost: trying again tells.
                if datetime.now(UTC) > self._until or problem.code == "billing.meter_closed":
                    log.error(
                        "%s: its hold ends by itself: %s", self.call_id, problem.message("en")
                    )
                    raise
                tried = True
                await asyncio.sleep(_PAUSE)
            except FeilunError as error:
                if tried and error.code == "store.hold_ended":
                    return None
                raise
