"""Groups items of many waiting calls into batches of similar cost, and runs them on threads.

Padding is the largest cost after the engine: a batch pays for its longest item as many times as it
has items. So the item that has waited longest leads a batch, and those nearest to it in cost fill
it. Turns are fair between calls, not between items: a call of hundreds of inputs takes its place in
the line again with every few of them, and a small call never waits for all of a large one.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter
from typing import TypeVar

import numpy as np

from feilun.errors import EnvironmentProblem, FeilunError
from feilun.tasks.base import Encoded
from feilun.types import Item, Output

__all__ = ["BATCH", "MULTIPLE", "Answered", "Batcher", "plan"]

BATCH = 8
"""Items of a batch at most: larger ones gain nothing on a processor and leave less to choose from
for the next."""
MULTIPLE = 16
"""Lengths are rounded up to a multiple of this: few shapes to prepare, and the fastest ones."""
_RATIO = 1.3  # longest to shortest of a batch, in rounded lengths
_TURN = 8  # inputs of one call that count as one turn
_SLICE = 16  # items prepared at once, and then a batch is run: nobody waits for a long call's all

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

Encode = Callable[[Sequence[Item]], list[Encoded]]
Answer = Callable[[Sequence[Encoded], Sequence[bool]], list[Output]]


@dataclass(frozen=True, slots=True)
class Answered:
    """What a call got: outputs in its order, the cost of its items, its share of engine time."""

    outputs: list[Output]
    cost: int
    seconds: float


def plan(costs: Sequence[int], largest: int = BATCH) -> list[np.ndarray]:
    """Cuts a whole list into batches of similar cost: arrays of positions, the dearest first."""
    order = np.argsort(-np.asarray(costs, np.int64), kind="stable")
    rounded = [_rounded(costs[place]) for place in order]
    batches: list[np.ndarray] = []
    start = 0
    for end in range(1, len(order) + 1):
        full = end - start == largest
        if end == len(order) or full or rounded[end] * _RATIO < rounded[start]:
            batches.append(order[start:end])
            start = end
    return batches


def _rounded(cost: int) -> int:
    return -(-cost // MULTIPLE) * MULTIPLE


@dataclass(eq=False, slots=True)
class _Call:
    """One call under way. The batcher's lock guards all but `future`, which is its loop's."""

    items: Sequence[Item]
    all_scores: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Answered]
    turn: int
    outputs: list[Output | None]
    left: int
    prepared: int = 0
    cost: int = 0
    seconds: float = 0.0
    error: FeilunError | None = None
    over: bool = False


@dataclass(eq=False, slots=True)
class _Piece:
    """One prepared item of a call, until it is taken into a batch."""

    call: _Call
    position: int
    encoded: Encoded
    taken: bool = False


@dataclass(eq=False, slots=True)
class _Pool:
    """Prepared items, in two orders: by turn (who is next) and by cost (who fits beside)."""

    turns: list[tuple[int, int, _Piece]] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)
    turn: int = 0
    numbers: count[int] = field(default_factory=count)

    def __len__(self) -> int:
        return len(self.pieces)

    def add(self, piece: _Piece) -> None:
        cost = piece.encoded.cost
        place = bisect_right(self.costs, cost)
        self.costs.insert(place, cost)
        self.pieces.insert(place, piece)
        turn = piece.call.turn + piece.position // _TURN
        heapq.heappush(self.turns, (turn, next(self.numbers), piece))

    def take(self) -> list[_Piece]:
        """The next batch: whose turn it is, and the nearest to it in cost."""
        leader = self._leader()
        if leader is None:
            return []
        start = self.pieces.index(leader, bisect_left(self.costs, leader.encoded.cost))
        start, end = self._around(start)
        batch = self.pieces[start:end]
        del self.pieces[start:end], self.costs[start:end]
        for piece in batch:
            piece.taken = True
        if not self.pieces:
            self.turns.clear()
        return batch

    def _around(self, place: int) -> tuple[int, int]:
        """From where to where the neighbours of `place` in cost fill a batch."""
        costs, start, end = self.costs, place, place + 1
        while end - start < BATCH:
            lowest, highest = _rounded(costs[start]), _rounded(costs[end - 1])
            less = _rounded(costs[start - 1]) if start else 0
            more = _rounded(costs[end]) if end < len(costs) else 0
            down = bool(less) and highest <= less * _RATIO
            up = bool(more) and more <= lowest * _RATIO
            if not (down or up):
                break
            if down and (not up or highest - less <= more - lowest):
                start -= 1
            else:
                end += 1
        return start, end

    def _leader(self) -> _Piece | None:
        while self.turns:
            turn, _, piece = heapq.heappop(self.turns)
            if not piece.taken:
                self.turn = max(self.turn, turn)
                return piece
        return None


class Batcher:
    """Worker threads that answer many calls at once.

    `encode` prepares items, `answer` turns a batch of prepared items into outputs (its second
    argument says for each whether all scores are wanted). Both run on `workers` threads.
    """

    def __init__(self, encode: Encode, answer: Answer, workers: int) -> None:
        self._encode = encode
        self._answer = answer
        self._changed = threading.Condition()
        self._raw: deque[_Call] = deque()
        self._pool = _Pool()
        self._open = True
        self._threads = [
            threading.Thread(target=self._work, name=f"feilun-batch-{n}", daemon=True)
            for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        with self._changed:
            return len(self._pool) + sum(len(call.items) - call.prepared for call in self._raw)

    async def run(self, items: Sequence[Item], all_scores: bool = False) -> Answered:
        """Answers one call. A cancelled call's items are dropped where they still wait.

        Raises what `encode` raised for one of its items, and `EnvironmentProblem` after `close`.
        """
        if not items:
            return Answered([], 0, 0.0)
        loop = asyncio.get_running_loop()
        with self._changed:
            if not self._open:
                raise EnvironmentProblem("engines.closed")
            call = _Call(
                items, all_scores, loop, loop.create_future(), self._pool.turn,
                [None] * len(items), len(items),
            )  # fmt: skip
            self._raw.append(call)
            self._changed.notify()
        try:
            return await call.future
        finally:
            call.over = True

    def close(self) -> None:
        """Takes no more calls, finishes those under way, ends the threads."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._raw and not len(self._pool):
                    if not self._open:
                        return
                    self._changed.wait()
                raw = self._take_raw()
            if raw:
                self._prepare(raw)
            with self._changed:
                batch = [piece for piece in self._pool.take() if not piece.call.over]
                if len(self._pool) or self._raw:
                    self._changed.notify()
            if batch:
                self._run(batch)

    def _take_raw(self) -> list[tuple[_Call, int, int]]:
        """Up to a slice of unprepared items, (call, from, to); a long call goes to the back."""
        taken: list[tuple[_Call, int, int]] = []
        room = _SLICE
        while self._raw and room:
            call = self._raw.popleft()
            if call.over:
                continue
            start = call.prepared
            call.prepared = min(start + room, len(call.items))
            room -= call.prepared - start
            taken.append((call, start, call.prepared))
            if call.prepared < len(call.items):
                self._raw.append(call)
        return taken

    def _prepare(self, raw: list[tuple[_Call, int, int]]) -> None:
        """Encodes a slice at once; when one item cannot be, each call on its own."""
        whole = [item for call, start, end in raw for item in call.items[start:end]]
        try:
            encoded = _as_many(self._encode(whole), whole)
        except Exception as error:  # noqa: BLE001 - handed to the one call that it concerns
            if len(raw) > 1:
                for part in raw:
                    self._prepare([part])
            else:
                self._fail([raw[0][0]], error)
            return
        following = iter(encoded)
        with self._changed:
            for call, start, end in raw:
                for position in range(start, end):
                    piece = _Piece(call, position, next(following))
                    call.cost += piece.encoded.cost
                    self._pool.add(piece)
            self._changed.notify()

    def _run(self, batch: list[_Piece]) -> None:
        encoded = [piece.encoded for piece in batch]
        started = perf_counter()
        try:
            outputs = self._answer(encoded, [piece.call.all_scores for piece in batch])
            outputs = _as_many(outputs, batch)
        except Exception as error:  # noqa: BLE001 - handed to the calls that it concerns
            self._fail({piece.call: None for piece in batch}, error)
            return
        share = (perf_counter() - started) / max(1, sum(item.cost for item in encoded))
        done = []
        with self._changed:
            for piece, output in zip(batch, outputs, strict=True):
                call = piece.call
                call.outputs[piece.position] = output
                call.seconds += share * piece.encoded.cost
                call.left -= 1
                if not call.left:
                    done.append(call)
        _settle(done)

    def _fail(self, calls: Iterable[_Call], error: Exception) -> None:
        if not isinstance(error, FeilunError):
            _log.error("a batch failed", exc_info=error)
            error = EnvironmentProblem("engines.failed")
        failed = []
        with self._changed:
            for call in calls:
                if call.error is None:
                    # One for each: every call raises its own, with its own traceback.
                    call.error, call.over = type(error)(error.code, **error.params), True
                    failed.append(call)
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
            call.future.set_result(Answered(outputs, call.cost, call.seconds))
