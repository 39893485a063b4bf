"""What a call costs, and the promise that it is written down before its answer leaves.

`Meter.record` returns once the ledger event and the prediction rows of a call are committed. Calls
that end at about the same time share one transaction: while one group is being committed the next
gathers, so that a lone call waits for nothing and many calls pay for few commits.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter, sleep
from typing import Protocol

from feilun.errors import EnvironmentProblem
from feilun.store.records import Event, Prediction

__all__ = ["Meter", "Writer"]

log = logging.getLogger("feilun.billing")


class Writer(Protocol):
    """The part of the ledger that the meter needs."""

    def commit(self, events: Sequence[Event], predictions: Sequence[Prediction]) -> object:
        """Writes all of it in one transaction, or nothing."""
        ...


@dataclass(slots=True)
class _Call:
    event: Event
    predictions: Sequence[Prediction]
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop
    error: Exception | None = field(default=None)


class Meter:
    """Commits calls in groups, in one thread. `window` is the seconds that a group waits for more
    calls when others are being answered, `most` the calls that one transaction holds."""

    def __init__(self, ledger: Writer, *, window: float = 0.0, most: int = 512) -> None:
        self._ledger = ledger
        self._window = window
        self._most = most
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="feilun-meter", daemon=True)
        self._thread.start()
        self.commits = 0
        self.calls = 0
        self.seconds = 0.0

    async def record(self, event: Event, predictions: Sequence[Prediction]) -> None:
        """Returns when the call is in the ledger. Raises `EnvironmentProblem` when it could not be
        written; then no answer may leave."""
        if self._closed:
            raise EnvironmentProblem("billing.meter_closed")
        loop = asyncio.get_running_loop()
        call = _Call(event, predictions, loop.create_future(), loop)
        self._queue.put(call)
        await call.done

    def close(self) -> None:
        """Commits what was handed in so far, then stops. Twice is harmless."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            if self._window:
                sleep(self._window)
            group, more = self._gather(first)
            self._commit(group)
            self._tell(group)
            if not more:
                return

    def _gather(self, first: _Call) -> tuple[list[_Call], bool]:
        group = [first]
        while len(group) < self._most:
            try:
                call = self._queue.get_nowait()
            except queue.Empty:
                break
            if call is None:
                return group, False
            group.append(call)
        return group, True

    def _commit(self, group: Sequence[_Call]) -> None:
        start = perf_counter()
        try:
            self._write(group)
        except EnvironmentProblem as error:  # the database is away: alone it would not fare better
            for call in group:
                call.error = error
        except Exception as error:  # noqa: BLE001  (whatever it is, each caller must be told)
            if len(group) == 1:
                group[0].error = error
            else:
                for call in group:  # one bad row must not take the others along
                    self._commit([call])
                return
        self.commits += 1
        self.calls += len(group)
        self.seconds += perf_counter() - start

    def _write(self, group: Sequence[_Call]) -> None:
        events = [call.event for call in group]
        predictions = [row for call in group for row in call.predictions]
        self._ledger.commit(events, predictions)

    def _tell(self, group: Sequence[_Call]) -> None:
        for loop in {call.loop for call in group}:
            mine = [call for call in group if call.loop is loop]
            try:
                loop.call_soon_threadsafe(_resolve, mine)
            except RuntimeError:  # the loop was closed: nobody waits any more
                log.warning("%d calls were committed after their server stopped", len(mine))


def _resolve(calls: Sequence[_Call]) -> None:
    for call in calls:
        if call.done.done():  # the caller was cancelled; its call stays in the ledger
            continue
        if call.error is None:
            call.done.set_result(None)
        else:
            call.done.set_exception(call.error)
