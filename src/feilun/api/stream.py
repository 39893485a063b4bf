"""Answers in pieces: held before they begin, written token by token, charged as delivered.

A stream begins with a hold of the most that it may come to (`feilun.billing.holds`) and ends by
settling what left the server while its caller was there: also when the caller hangs up, when the
engine fails, or when its time is over. Where nothing was delivered the hold is released. A server
that is killed leaves the hold behind; it ends by itself, and nothing is charged.

An answer that was delivered whole counts as an input, and so does one that its caller broke off.
One that broke off here counts none: of it the tokens alone are charged. An answer whose form is to
be checked (`Call.asked`) is held back until it is whole, and then leaves in the same pieces.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Protocol

from feilun.api.answer import Streamed, Write
from feilun.api.body import Disconnected
from feilun.api.call import Answered, Call, charge, log_rows, token_count, units_of, usage_counts
from feilun.api.context import Api
from feilun.api.encoding import encode
from feilun.api.guard import Guard, Watch
from feilun.billing import holds
from feilun.billing.admission import Admission
from feilun.errors import EnvironmentProblem, FeilunError, PayloadTooLarge, UsageError
from feilun.serving.caller import Caller, caller
from feilun.store.ids import new_id
from feilun.store.ledger_records import CallOutcome, Event, Idempotent, LedgerCall
from feilun.types import Chunk, Output, Usage

__all__ = ["DONE", "Events", "Words", "event", "streamed"]

log = logging.getLogger("feilun.api")

DONE = b"data: [DONE]\n\n"
"""What ends a stream, as OpenAI's do."""

_SPARE = timedelta(minutes=1)
"""How much longer a hold stands than its stream may take: for writing down how it ended."""
_PAUSE = 0.5
_ON_ITS_WAY = 4096
"""Bytes of a whole answer that need not have arrived yet when it is charged."""
_LOOK = 0.02


def event(value: Any) -> bytes:
    """A server-sent event with `value` as JSON."""
    return b"data: " + encode(value) + b"\n\n"


Deliver = Callable[[Chunk], Awaitable[None]]
"""Sends a piece of an answer."""


class Words(Protocol):
    """How one interface words a stream."""

    def delta(self, call_id: str, chunk: Chunk) -> bytes:
        """A piece of an answer: of its text, or tool calls."""
        ...

    def last(self, answered: Answered) -> bytes:
        """What ends a stream that is whole, with its usage."""
        ...


class Events:
    """The words of ``POST /v1/predict``."""

    def __init__(self, call: Call) -> None:
        self._served = call.served

    def delta(self, call_id: str, chunk: Chunk) -> bytes:
        """See `Words`."""
        told = {"index": chunk.index, "delta": chunk.delta}
        return event({"id": call_id, "model": self._served.id, **told})

    def last(self, answered: Answered) -> bytes:
        """The whole answer, as it would have come at once."""
        shown = [self._served.family.public(one, everything=False) for one in answered.outputs]
        usage = usage_counts(answered.usage)
        body = {"id": answered.call_id, "model": self._served.id, "outputs": shown, "usage": usage}
        return event(body) + DONE


def streamed(api: Api, call: Call, words: Words) -> Streamed:
    """Answers `call` in pieces. Raises `UsageError` where answers are no
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
        guard = Guard(api, served)
        await guard.ask(call.items, call.options)
        units = {"calls": 1, **await served.most(call.items, call.options)}
        account = _Account(api, call, units)
        most = units, account.amount
        size = len(call.items)
        way = Admission(api.limits, key, served.project, call.endpoint, size, most)
        async with way as account.admission:
            await account.hold()
            parts: list[bytes] = []

            async def deliver(chunk: Chunk) -> None:
                part = words.delta(account.call_id, chunk)
                if who.gone:
                    raise Disconnected
                await write(part)
                if who.gone:
                    raise Disconnected
                account.delivered(chunk, len(part))
                if trace.claim is not None:
                    parts.append(part)

            if who.connection is not None:
                who.connection.narrow()
            try:
                whole = await _Pieces(call, account, guard, deliver).all()
                await _arrived(who, served.deadline)
            except BaseException as error:
                account.take_back(who.lost)
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
    api.metrics.answered(served.id, usage.inputs, token_count(usage), usage.engine_seconds)
    if served.abstains:
        api.metrics.abstained(served.id, sum("abstained" in one for one in whole.outputs))


async def _arrived(who: Caller, seconds: float) -> None:
    """Waits until the client's machine has what was written to it, but for the last few bytes: a
    client that does not read may still leave. One that reads nothing for `seconds` has left."""
    until = monotonic() + seconds
    while not who.gone and (pending := who.pending()) > _ON_ITS_WAY:
        if monotonic() > until:
            who.leave(pending)
        await asyncio.sleep(_LOOK)
    if who.gone:
        raise Disconnected


class _Pieces:
    """The pieces of one call's answers on their way: checked, guarded, delivered."""

    def __init__(self, call: Call, account: _Account, guard: Guard, deliver: Deliver) -> None:
        self._call = call
        self._account = account
        self._guard = guard
        self._deliver = deliver
        self._watches = [Watch(guard) for _ in call.items] if guard.active else []
        self._kept: list[Chunk] = []
        self._come: set[int] = set()

    async def all(self) -> Answered:
        """Delivers the pieces as they come; the whole answer."""
        call, family = self._call, self._call.served.family
        outputs, usage = await self._listen()
        if len(outputs) != len(call.items):
            raise EnvironmentProblem("serving.incomplete", version=call.served.id)
        if not self._stopped:
            for output in outputs:
                call.asked.check(output, family.text(output))
        if self._watches and self._kept:  # what is masked may fit no more
            left, _ = await self._guard.answered(outputs, usage)
            call.asked.check_left(left, family.text)
        for chunk in self._kept:
            await self._give(chunk)
        for index, output in enumerate(outputs):
            if index in self._come:
                continue
            text, calls = family.text(output), output.get("tool_calls", ())
            if text or calls:  # of an engine that answers at once
                told = output.get("logprobs", ())
                await self._give(
                    Chunk(usage=usage, index=index, delta=text, logprobs=told, calls=calls)
                )
        if self._watches:
            outputs, usage = await self._guarded(outputs, usage)
        return Answered(self._account.call_id, outputs, usage)

    async def _listen(self) -> tuple[Sequence[Output], Usage]:
        """What the engine says in the end; what it says on the way is given on, or kept."""
        call, asked = self._call, self._call.asked
        outputs: Sequence[Output] = ()
        usage = Usage()
        customer = call.key.customer
        async with call.served.streaming(call.items, call.options, customer=customer) as chunks:
            async for chunk in chunks:
                usage = chunk.usage or usage
                for one in chunk.calls:
                    asked.check_call(one)
                if chunk.outputs:
                    outputs = chunk.outputs
                elif chunk.delta or chunk.calls or chunk.logprobs:
                    self._come.add(chunk.index)
                    if asked.checks:
                        self._kept.append(chunk)
                    else:
                        await self._give(chunk)
                if self._stopped and len(call.items) == 1:
                    return [{}], usage  # nobody waits for the rest of it
        return outputs, usage

    @property
    def _stopped(self) -> bool:
        return any(watch.stopped for watch in self._watches)

    async def _give(self, chunk: Chunk) -> None:
        for one in await self._watches[chunk.index].add(chunk) if self._watches else (chunk,):
            await self._deliver(one)

    async def _guarded(
        self, outputs: Sequence[Output], usage: Usage
    ) -> tuple[Sequence[Output], Usage]:
        """What has left of the answers, when all of it has."""
        for watch in self._watches:
            for one in await watch.end():
                await self._deliver(one)
        texts = self._account.texts
        pairs = zip(outputs, self._watches, strict=True)
        left = [
            self._guard.settled(output, texts.get(index, ""), watch.stopped)
            for index, (output, watch) in enumerate(pairs)
        ]
        if self._stopped:
            usage = replace(self._account.used, inputs=len(outputs))
        return left, usage


class _Account:
    """What one stream holds and comes to. `amount` is the most that `units` can cost."""

    admission: Admission

    def __init__(self, api: Api, call: Call, units: dict[str, int]) -> None:
        self._api = api
        self._call = call
        self._lines = api.rates.lines(
            call.key.customer, call.served.project, call.endpoint
        )  # the prices of its beginning hold to its end
        self.amount = self._lines.most(units)
        self.call_id = new_id("pred_")
        self._pieces: list[tuple[Chunk, int]] = []
        self._used = Usage()
        most = Answered(self.call_id, (), Usage())
        self._held = replace(charge(api, call, most, units, self._lines), amount=self.amount)
        self._until = datetime.now(UTC)

    async def hold(self) -> None:
        """Puts the hold on record. Raises what `Meter.record` raises."""
        seconds = self._call.served.deadline
        self._until = datetime.now(UTC) + timedelta(seconds=seconds) + _SPARE
        outcome = await self._api.meter.record(holds.hold(self._held, self._until))
        if outcome.error is not None:
            raise outcome.error
        self.admission.held()

    @property
    def used(self) -> Usage:
        """What the pieces that were delivered have used."""
        return self._used

    @property
    def texts(self) -> Mapping[int, str]:
        """What has been delivered, by the place of the answer."""
        found: dict[int, list[str]] = {}
        for chunk, _ in self._pieces:
            found.setdefault(chunk.index, []).append(chunk.delta)
        return {index: "".join(parts) for index, parts in found.items()}

    def delivered(self, chunk: Chunk, size: int) -> None:
        """`chunk`, in `size` bytes, has left while the caller was there; its usage is that of all
        so far."""
        self._pieces.append((chunk, size))
        self._used = chunk.usage or self._used

    def take_back(self, lost: int) -> None:
        """The last `lost` bytes never came to the caller."""
        while lost > 0 and self._pieces:
            lost -= self._pieces.pop()[1]
        if lost > 0 or not self._pieces:
            self._used = Usage()
        else:
            self._used = self._pieces[-1][0].usage or self._used

    async def whole(self, answered: Answered, kept: Idempotent | None) -> None:
        """Settles an answer that was delivered whole. Raises `Gone` when the hold is over."""
        await self._settle(answered, "ok", kept)

    async def broken(self, error: BaseException) -> None:
        """Settles what was delivered of an answer that broke off, or releases the hold."""
        code = error.code if isinstance(error, FeilunError) else "internal"
        left = isinstance(error, Disconnected | asyncio.CancelledError)
        if left:
            code = "disconnected" if isinstance(error, Disconnected) else "stopped"
        texts = self.texts
        if not texts:
            await self._end(holds.release(self._held, code))
            return
        whole = self._used.inputs
        usage = replace(self._used, inputs=whole + isinstance(error, Disconnected))
        cut = self._call.served.family.cut
        outputs = [cut(texts.get(place, "")) for place in range(len(self._call.items))]
        with suppress(FeilunError):  # the caller is told what broke it off
            await self._settle(Answered(self.call_id, outputs, usage), code, None)

    async def _settle(self, answered: Answered, code: str, kept: Idempotent | None) -> None:
        units = units_of(answered.usage)
        made: Event = charge(self._api, self._call, answered, units, self._lines)
        rows = log_rows(self._call, answered)
        outcome = await self._end(holds.settle(replace(made, outcome=code), rows, kept))
        if outcome is None:
            return
        if outcome.earlier is not None:  # another server was faster: its answer is charged
            await self._end(holds.release(self._held, code))
            return
        self.admission.settle(self._lines.counted(units), sum(outcome.amounts))

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
