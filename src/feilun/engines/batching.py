"""Groups items of many waiting calls into batches of similar cost, and runs them on threads.

Padding is the largest cost after the engine: a batch pays for its longest item as many times as it
has items. So the item whose turn it is leads a batch, and those nearest to it in cost fill it.
Turns go round customers and then calls (`_fair`), never items: a call of hundreds of inputs takes
its place in the line again with every few of them, and a small call never waits for all of it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import TypeVar

import numpy as np

from feilun.engines._fair import MULTIPLE, RATIO, Line, Piece, Pool, rounded
from feilun.errors import EnvironmentProblem, FeilunError, Overloaded
from feilun.tasks.base import Encoded
from feilun.types import Item, Output

__all__ = ["BATCH", "MULTIPLE", "Answered", "Batcher", "plan"]

BATCH = 8
"""Items of a batch at most: larger ones gain nothing on a processor and leave less to choose from
for the next."""
_SLICE = 16  # items prepared at once, and then a batch is run: nobody waits for a long call's all
_LONG_SLICE = 48  # where so many wait that the pool would stay too small to choose from
_SHORT = 0.002  # seconds of preparing that one thread may have to itself
_POOL_ITEMS = 512  # prepared items held at most: beyond them a choice gains nothing
_POOL_BYTES = 64 << 20

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

Encode = Callable[[Sequence[Item]], list[Encoded]]
Answer = Callable[[Sequence[Encoded], Sequence[bool]], list[Output]]


@dataclass(frozen=True, slots=True)
class Answered:
    """What a call got: outputs in its order, the `costs` of its items, and its seconds: its share
    of engine time and of preparing, and what it waited before either."""

    outputs: list[Output]
    costs: list[int]
    seconds: float
    queue_seconds: float = 0.0
    encode_seconds: float = 0.0

    @property
    def cost(self) -> int:
        """That of all items together."""
        return sum(self.costs)


def plan(costs: Sequence[int], largest: int = BATCH) -> list[np.ndarray]:
    """Cuts a whole list into batches of similar cost: arrays of positions, the dearest first."""
    order = np.argsort(-np.asarray(costs, np.int64), kind="stable")
    lengths = [rounded(costs[place]) for place in order]
    batches: list[np.ndarray] = []
    start = 0
    for end in range(1, len(order) + 1):
        full = end - start == largest
        if end == len(order) or full or lengths[end] * RATIO < lengths[start]:
            batches.append(order[start:end])
            start = end
    return batches


@dataclass(eq=False, slots=True)
class _Call:
    """One call under way. The batcher's lock guards all but `future`, which is its loop's."""

    items: Sequence[Item]
    all_scores: bool
    customer: str
    deadline: float | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Answered]
    size: int
    left: int
    outputs: list[Output | None]
    costs: list[int]
    begun: float
    prepared: int = 0
    batched: int = 0
    turn: float = -1.0
    seconds: float = 0.0
    queue_seconds: float = 0.0
    encode_seconds: float = 0.0
    error: FeilunError | None = None
    over: bool = False
    ready: float = field(default=0.0)

    def late(self, moment: float) -> bool:
        return self.deadline is not None and moment > self.deadline


class Batcher:
    """Worker threads that answer many calls at once.

    `encode` prepares items, `answer` turns a batch of prepared items into outputs (its second
    argument says for each whether all scores are wanted). Both run on `workers` threads.
    """

    def __init__(self, encode: Encode, answer: Answer, workers: int) -> None:
        self._encode = encode
        self._answer = answer
        self._changed = threading.Condition()
        self._line: Line[_Call] = Line()
        self._pool: Pool[_Call] = Pool(BATCH)
        self._waiting = 0
        self._each = 0.0
        self._running: dict[int, float] = {}
        self._under_way: dict[_Call, None] = {}
        self._open = True
        self._abandoned = False
        self._threads = [
            threading.Thread(target=self._work, name=f"feilun-batch-{n}", daemon=True)
            for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        return self._waiting

    @property
    def oldest(self) -> tuple[int, float] | None:
        """The batch that has run longest: which thread runs it, and since when (of
        `time.monotonic`)."""
        running = list(self._running.items())
        return min(running, key=lambda one: one[1]) if running else None

    async def run(
        self,
        items: Sequence[Item],
        all_scores: bool = False,
        customer: str = "",
        deadline: float | None = None,
    ) -> Answered:
        """Answers one call. The items of a cancelled call are dropped where they still wait.

        Raises what `encode` raised for one of its items, `Overloaded` when `deadline` passed while
        some of them waited, and `EnvironmentProblem` after `close`.
        """
        if not items:
            return Answered([], [], 0.0)
        loop = asyncio.get_running_loop()
        size = len(items)
        call = _Call(
            items, all_scores, customer, deadline, loop, loop.create_future(), size, size,
            [None] * size, [0] * size, perf_counter(),
        )  # fmt: skip
        with self._changed:
            if not self._open:
                raise EnvironmentProblem("engines.closed")
            self._line.add(call)
            self._under_way[call] = None
            self._waiting += size
            self._changed.notify()
        try:
            return await call.future
        finally:
            if not call.over:
                self._leave(call)

    def close(self) -> None:
        """Takes no more calls, finishes those under way, ends the threads."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread() and not self._abandoned:
                thread.join()

    def abandon(self) -> None:
        """Gives up on an engine that hangs: every call under way fails with
        `EnvironmentProblem`, and nobody waits for the threads any more."""
        with self._changed:
            self._open, self._abandoned = False, True
            under_way = list(self._under_way)
            self._changed.notify_all()
        self._fail(under_way, EnvironmentProblem("engines.abandoned"))

    def _leave(self, call: _Call) -> None:
        """Forgets a call whose caller has gone, and what of it still waits."""
        with self._changed:
            if self._end(call) and call.batched < call.size:
                self._pool.drop_over()
                self._line.drop_over()

    def _end(self, call: _Call) -> bool:
        """Under the lock: it counts no more. Whether it did until now."""
        if call.over:
            return False
        call.over = True
        self._under_way.pop(call, None)
        self._waiting -= call.size - call.batched
        call.items = ()
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._line and not len(self._pool):
                    if not self._open:
                        return
                    self._changed.wait()
                if self._abandoned:
                    return
                raw = self._line.take(self._room())
                parts = [(call, start, end, call.items[start:end]) for call, start, end in raw]
            if parts:
                self._prepare(parts)
            with self._changed:
                batch, late = self._next_batch()
                if len(self._pool) or self._line:
                    self._changed.notify()
            if late:
                self._fail(late, Overloaded("engines.too_late", retry_after=1.0))
            if batch:
                self._run(batch)

    def _room(self) -> int:
        """How many items to prepare now: more where many wait, so that there are enough of
        similar length to choose from; none while the pool holds enough. What takes long to
        prepare, such as pictures, is shared out among the threads."""
        pooled = len(self._pool)
        if pooled >= _POOL_ITEMS or self._pool.bytes >= _POOL_BYTES:
            return 0
        room = _SLICE if self._waiting < 2 * _LONG_SLICE else _LONG_SLICE
        if self._each * room > _SHORT:
            room = min(room, max(1, -(-(self._waiting - pooled) // len(self._threads))))
        return room

    def _next_batch(self) -> tuple[list[Piece[_Call]], list[_Call]]:
        """Under the lock: the next batch without what is over or late, and the late calls."""
        while batch := self._pool.take():
            moment = monotonic()
            late = list({p.call: None for p in batch if p.call.late(moment) and not p.call.over})
            kept = [piece for piece in batch if not piece.call.over and piece.call not in late]
            for piece in kept:
                call = piece.call
                call.batched += 1
                if call.batched == call.size:
                    call.queue_seconds += perf_counter() - call.ready
            self._waiting -= len(kept)
            if kept or late:
                return kept, late
        return [], []

    def _prepare(self, raw: list[tuple[_Call, int, int, Sequence[Item]]]) -> None:
        """Encodes a slice at once; when one item cannot be, each call on its own."""
        whole = [item for *_, items in raw for item in items]
        started = perf_counter()
        try:
            encoded = _as_many(self._encode(whole), whole)
        except Exception as error:  # noqa: BLE001 - handed to the one call that it concerns
            if len(raw) > 1:
                for part in raw:
                    self._prepare([part])
            else:
                self._fail([raw[0][0]], error)
            return
        ended = perf_counter()
        share = (ended - started) / max(1, len(whole))
        following = iter(encoded)
        with self._changed:
            self._each = share
            for call, start, end, _ in raw:
                if start == 0:
                    call.queue_seconds += started - call.begun
                call.encode_seconds += share * (end - start)
                call.ready = ended
                for position in range(start, end):
                    item = next(following)
                    if not call.over:
                        call.costs[position] = item.cost
                        held = sum(array.nbytes for array in item.arrays.values())
                        self._pool.add(Piece(call, position, item, held))
            self._changed.notify()

    def _run(self, batch: list[Piece[_Call]]) -> None:
        encoded = [piece.encoded for piece in batch]
        me = threading.get_ident()
        started = perf_counter()
        self._running[me] = monotonic()
        try:
            outputs = self._answer(encoded, [piece.call.all_scores for piece in batch])
            outputs = _as_many(outputs, batch)
        except Exception as error:  # noqa: BLE001 - handed to the calls that it concerns
            self._fail({piece.call: None for piece in batch}, error)
            return
        finally:
            del self._running[me]
        share = (perf_counter() - started) / max(1, sum(item.cost for item in encoded))
        done = []
        with self._changed:
            for piece, output in zip(batch, outputs, strict=True):
                call = piece.call
                call.outputs[piece.position] = output
                call.seconds += share * piece.encoded.cost
                call.left -= 1
                if not call.left and self._end(call):
                    done.append(call)
        _settle(done)

    def _fail(self, calls: Iterable[_Call], error: Exception) -> None:
        if not isinstance(error, FeilunError):
            _log.error("a batch failed", exc_info=error)
            error = EnvironmentProblem("engines.failed")
        failed = []
        with self._changed:
            for call in calls:
                if self._end(call):
                    # One for each: every call raises its own, with its own traceback.
                    call.error = type(error)(error.code, **error.params)
                    failed.append(call)
            if any(call.batched < call.size for call in failed):
                self._pool.drop_over()
        _settle(failed)


def _as_many(found: list[_T], wanted: Sequence[object]) -> list[_T]:
    if len(found) != len(wanted):
        raise ValueError(f"{len(found)} results for {len(wanted)} items")
    return found


def _settle(calls: list[_Call]) -> None:
    """Hands results to the event loops of their callers, each loop woken once."""
    loops: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
    for call in calls:
        loops.setdefault(call.loop, []).append(call)
    for loop, own in loops.items():
        try:
            loop.call_soon_threadsafe(_finish, own)
        except RuntimeError:  # the loop is closed: nobody waits any more
            _log.debug("%d answers came after their event loop had closed", len(own))


def _finish(calls: list[_Call]) -> None:
    for call in calls:
        if call.future.done():  # cancelled meanwhile
            continue
        if call.error is not None:
            call.future.set_exception(call.error)
        else:
            outputs = [output for output in call.outputs if output is not None]
            call.future.set_result(
                Answered(outputs, call.costs, call.seconds, call.queue_seconds, call.encode_seconds)
            )
