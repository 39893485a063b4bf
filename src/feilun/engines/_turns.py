"""The engines of one process share its cores by turns.

Each engine is made for all cores: two that run at once would double the threads, and the one with
more calls would take the more of them. So a batch waits for a turn. There are as many turns at once
as the widest engine has streams, and the next one goes to the engine that has had the least time
among those that wait. Alone, an engine never waits. Work in the `background` (a shadow's) begins
only when nothing else waits or runs.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter
from weakref import WeakKeyDictionary

__all__ = ["TURNS", "Turns"]


@dataclass(eq=False, slots=True)
class _Member:
    streams: int
    used: float
    background: bool = False
    running: int = 0
    waiting: int = 0
    gone: bool = False


@dataclass(eq=False, slots=True)
class _Place:
    member: _Member
    granted: threading.Lock = field(default_factory=threading.Lock)


class Turns:
    """Who may compute. Members are any objects; safe to call from all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # An engine that nobody closed takes no part once it is collected.
        self._members: WeakKeyDictionary[object, _Member] = WeakKeyDictionary()
        self._free = 0
        self._most = 0
        self._used = 0.0
        self._numbers = count()
        self._line: list[tuple[bool, float, int, _Place]] = []

    def join(self, member: object, streams: int) -> None:
        """`member` runs `streams` batches at once at most."""
        with self._lock:
            self._members[member] = _Member(streams, self._used)
            self._resize()

    def forget(self, member: object) -> None:
        """Gives back the turns that `member` has, also one that will never return."""
        with self._lock:
            known = self._members.pop(member, None)
            if known is None:
                return
            known.gone = True
            self._free += known.running
            self._resize()
            self._grant()

    def background(self, member: object, wanted: bool = True) -> None:
        """Whether `member`, or each of the ``stages`` that it is made of, computes only while
        nobody else wants to."""
        for stage in getattr(member, "stages", ()):
            self.background(stage, wanted)
        with self._lock:
            if (known := self._members.get(member)) is not None:
                known.background = wanted

    @contextmanager
    def take(self, member: object) -> Iterator[None]:
        """One turn of `member`; waits for it."""
        known = self._enter(member)
        start = perf_counter()
        try:
            yield
        finally:
            if known is not None:
                self._leave(known, perf_counter() - start)

    def _enter(self, member: object) -> _Member | None:
        with self._lock:
            known = self._members.get(member)
            if known is None:  # closed meanwhile: what it still has to finish is not held up
                return None
            free = len(self._members) == 1 or (self._free > 0 and not self._line)
            if free and (not known.background or self._idle()):
                self._free -= 1
                known.running += 1
                return known
            # Whoever was idle joins where the others are: idleness gives no claim.
            if not known.running and not known.waiting:
                known.used = max(known.used, self._used)
            place = _Place(known)
            place.granted.acquire()
            known.waiting += 1
            order = (known.background, known.used, next(self._numbers), place)
            heapq.heappush(self._line, order)
        place.granted.acquire()
        return known

    def _leave(self, known: _Member, seconds: float) -> None:
        with self._lock:
            known.used += seconds
            self._used = max(self._used, known.used - seconds)
            known.running -= 1
            if not known.gone:
                self._free += 1
            self._grant()

    def _grant(self) -> None:
        """Under the lock: hands free turns to those who have had the least."""
        while self._line:
            background, used, _, place = self._line[0]
            member = place.member
            if not member.gone:
                if self._free <= 0 or (background and not self._idle()):
                    return
                if used < member.used:  # it has had a turn since it took this place
                    order = (background, member.used, next(self._numbers), place)
                    heapq.heapreplace(self._line, order)
                    continue
                self._free -= 1
            heapq.heappop(self._line)
            member.running += 1
            member.waiting -= 1
            place.granted.release()

    def _idle(self) -> bool:
        return not any(m.running and not m.background for m in self._members.values())

    def _resize(self) -> None:
        most = max((member.streams for member in self._members.values()), default=0)
        self._free += most - self._most
        self._most = most


TURNS = Turns()
"""Those of this process."""
