"""What a call costs, and the promise that it is written down before its answer leaves.

`Meter.record` returns once a call is committed: its ledger events, its prediction rows, its answer
for retries. Calls that end at about the same time share one transaction: while one group is being
committed the next gathers, so that a lone call waits for nothing and many calls share few commits.

Around each commit the keys are asked again. A call whose key was revoked or has expired is not
written; where that happened during the commit, its answer is withheld and its charge credited. So
is a charge of which nobody knew whether it was committed when its caller was refused. What ends a
hold is written whatever became of the key: it is about what was delivered before.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter, sleep
from typing import Protocol

from feilun.billing.withheld import credit_of
from feilun.errors import Conflict, EnvironmentProblem, FeilunError, Unauthorized
from feilun.store.ledger_records import CallOutcome, LedgerCall

__all__ = ["Gate", "Meter", "Writer"]

log = logging.getLogger("feilun.billing")

_MOST_DOUBTFUL = 10_000


class Writer(Protocol):
    """The part of the ledger that the meter needs."""

    def commit_group(self, calls: Sequence[LedgerCall]) -> Sequence[CallOutcome]:
        """Writes all of it in one transaction, or nothing; what became of each call."""
        ...

    def outcomes(self, call_ids: Sequence[str]) -> Mapping[str, CallOutcome]:
        """What is on record of these calls."""
        ...


class Gate(Protocol):
    """The part of the key ring that the meter needs."""

    def look_again(self) -> object:
        """Takes in every change of keys that was committed before now."""
        ...

    def valid(self, key_id: str) -> bool:
        """Whether the key of this id still works."""
        ...


@dataclass(slots=True)
class _Call:
    what: LedgerCall
    done: asyncio.Future[CallOutcome]
    loop: asyncio.AbstractEventLoop
    outcome: CallOutcome | None = field(default=None)
    error: Exception | None = field(default=None)


class Meter:
    """Commits calls in groups, in one thread. `gate` knows which keys still work (None: all do).
    `window` is the seconds that a group waits for more calls when others are being answered; one
    that holds `most` calls takes no more."""

    def __init__(
        self, ledger: Writer, gate: Gate | None = None, *, window: float = 0.0, most: int = 512
    ) -> None:
        self._ledger = ledger
        self._gate = gate
        self._owed: list[LedgerCall] = []
        self._doubtful: list[LedgerCall] = []
        self._window = window
        self._most = most
        self._queue: queue.SimpleQueue[list[_Call] | None] = queue.SimpleQueue()
        # Calls whose loop is still busy with others that end at the same moment.
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
        self._handing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="feilun-meter", daemon=True)
        self._thread.start()
        self.commits = 0
        self.calls = 0
        self.seconds = 0.0

    async def record(self, call: LedgerCall) -> CallOutcome:
        """Returns when the call is in the ledger, or when an earlier call with its idempotency key
        is known to be. A caller that is cancelled before its group begins is not charged.

        Raises `Unauthorized` when its key stopped working meanwhile, what the outcome says was
        refused, and `EnvironmentProblem` when it could not be written; then no answer may leave.
        """
        loop = asyncio.get_running_loop()
        waiting = _Call(call, loop.create_future(), loop)
        with self._handing:
            if self._closed:
                raise EnvironmentProblem("billing.meter_closed")
            gathered = self._gathered.setdefault(loop, [])
            if not gathered:
                # Answers of one batch come in one turn of the loop. Handed in after that turn they
                # are one group; one by one, the first would be a group of its own.
                loop.call_soon(self._hand_in, loop)
            gathered.append(waiting)
        return await waiting.done

    def close(self) -> None:
        """Commits what was handed in so far, then stops. Twice is harmless."""
        with self._handing:
            if not self._closed:
                self._closed = True
                for calls in self._gathered.values():
                    self._queue.put(calls)
                self._gathered.clear()
                self._queue.put(None)
        self._thread.join()

    def _hand_in(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._handing:
            calls = self._gathered.pop(loop, None)
            if calls:
                self._queue.put(calls)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            if self._window:
                sleep(self._window)
            group, more = self._gather(first)
            self._commit(group)
            self._tell(group)
            if not more:
                break
        with suppress(EnvironmentProblem):
            self._pay_back()

    def _gather(self, first: list[_Call]) -> tuple[list[_Call], bool]:
        group = first
        while len(group) < self._most:
            try:
                calls = self._queue.get_nowait()
            except queue.Empty:
                break
            if calls is None:
                return group, False
            group += calls
        return group, True

    def _commit(self, group: Sequence[_Call]) -> None:
        start = perf_counter()
        # Who went away before anything was written owes nothing.
        going = [call for call in group if not call.done.cancelled()]
        try:
            self._pay_back()
            self._let_in(going)
            self._write([call for call in going if call.error is None])
        except EnvironmentProblem as error:  # the database is away: alone it would not fare better
            for call in going:
                call.error = call.error or error
        except Exception as error:  # noqa: BLE001  (whatever it is, each caller must be told)
            if len(going) == 1:
                going[0].error = error
            else:
                for call in going:  # one bad row must not take the others along
                    self._commit([call])
                return
        self.commits += 1
        self.calls += len(going)
        self.seconds += perf_counter() - start

    def _let_in(self, group: Sequence[_Call]) -> None:
        """Refuses the calls whose keys do not work any more."""
        if self._gate is None:
            return
        self._gate.look_again()
        for call in group:
            if call.what.asks and not self._gate.valid(call.what.key_id or ""):
                call.error = Unauthorized("billing.key_ended")

    def _write(self, group: Sequence[_Call]) -> None:
        if not group:
            return
        try:
            outcomes = self._ledger.commit_group([call.what for call in group])
        except EnvironmentProblem:
            # Perhaps it did commit, and only the word of it was lost. A kept answer waits for its
            # retry; the others will never be given.
            # An answer that ends a hold was given before: whoever gave it tries again.
            lost = [
                call.what for call in group if call.what.idempotent is None and not call.what.ends
            ]
            self._doubtful = (self._doubtful + lost)[-_MOST_DOUBTFUL:]
            raise
        for call, outcome in zip(group, outcomes, strict=True):
            call.outcome, call.error = outcome, outcome.error
        if self._gate is None:
            return
        try:
            self._gate.look_again()
            withheld = [
                call
                for call in group
                if call.what.asks and not self._gate.valid(call.what.key_id or "")
            ]
            error: FeilunError = Unauthorized("billing.key_ended")
        except EnvironmentProblem as problem:  # nobody can say whose keys work
            for call in group:
                if not call.what.ends:
                    call.error = call.error or problem
            # A kept answer waits for its retry, which asks for the key again: credited now, it
            # might be given by another server before the credit is there.
            withheld = [
                call for call in group if call.what.idempotent is None and not call.what.ends
            ]
            error = problem
        for call in withheld:
            call.error = call.error or error
            if call.outcome is not None and call.outcome.written:
                self._owed.append(credit_of(call.what, call.outcome))
        try:
            self._pay_back()
        except EnvironmentProblem:  # before the next group, then
            log.exception("%d credits of withheld answers wait for the ledger", len(self._owed))

    def _pay_back(self) -> None:
        """Credits what was charged and not answered."""
        if self._doubtful:
            ids = [call.events[0].call_id for call in self._doubtful]
            known = self._ledger.outcomes(ids)
            for call, id_ in zip(self._doubtful, ids, strict=True):
                if id_ in known:
                    self._owed.append(credit_of(call, known[id_]))
            self._doubtful = []
        if not self._owed:
            return
        try:
            self._ledger.commit_group(self._owed)
            self._owed = []
        except Conflict:  # one is there already: only the word of its commit was lost
            while self._owed:
                with suppress(Conflict):
                    self._ledger.commit_group(self._owed[:1])
                self._owed = self._owed[1:]

    def _tell(self, group: Sequence[_Call]) -> None:
        for loop in {call.loop for call in group}:
            mine = [call for call in group if call.loop is loop]
            try:
                loop.call_soon_threadsafe(_resolve, mine)
            except RuntimeError:  # the loop was closed: nobody waits any more
                log.warning("%d calls were committed after their server stopped", len(mine))


def _resolve(calls: Sequence[_Call]) -> None:
    for call in calls:
        if call.done.done():  # the caller was cancelled; what was written stays in the ledger
            continue
        if call.error is not None:
            call.done.set_exception(call.error)
        elif call.outcome is not None:
            call.done.set_result(call.outcome)
