"""Whose turn it is: customers take turns by what they used, and the calls of each among themselves.

Two queues stand before an engine. `Line` holds calls whose items are still to be prepared; `Pool`
holds prepared items and forms batches of similar cost. Both go round the customers, so that one
customer's flood delays the others by a turn of its own and no more. A customer who was idle joins
where the others are now (start-time fair queueing; Goyal, Vin and Cheng, 1996): what it did not
use in the past gives it no claim.

Nothing here is locked: the batcher's lock guards both.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, Protocol, TypeVar

from feilun.tasks.base import Encoded

__all__ = ["MULTIPLE", "RATIO", "TURN", "Line", "Piece", "Pool", "Waiting", "rounded"]

MULTIPLE = 16
"""Lengths are rounded up to a multiple of this: few shapes to prepare, and the fastest ones."""
RATIO = 1.3
"""Longest to shortest of a batch, in rounded lengths."""
TURN = 8
"""Inputs that count as one turn."""
_REMEMBERED = 1024  # customers without waiting items whose use is still remembered


def rounded(cost: int) -> int:
    """`cost` as a batch pays for it."""
    return -(-cost // MULTIPLE) * MULTIPLE


class Waiting(Protocol):
    """A call as the queues see it. `turn` is where it stands among its customer's calls: below 0
    until its first item is prepared, and one further with every `TURN` items that a batch has
    taken. One that is `over` is dropped."""

    customer: str
    size: int
    prepared: int
    turn: float
    over: bool


CallT = TypeVar("CallT", bound=Waiting)


class Line(Generic[CallT]):
    """Calls with items to prepare. Customers go round, and the calls of each; a turn is `TURN`
    items, after which they stand at the end again."""

    def __init__(self) -> None:
        self._calls: dict[str, deque[CallT]] = {}
        self._round: deque[str] = deque()

    def __bool__(self) -> bool:
        return bool(self._round)

    def add(self, call: CallT) -> None:
        """At the end of its customer's calls."""
        own = self._calls.get(call.customer)
        if own is None:
            own = self._calls[call.customer] = deque()
            self._round.append(call.customer)
        own.append(call)

    def take(self, room: int) -> list[tuple[CallT, int, int]]:
        """Up to `room` items, as (call, from, to)."""
        taken: list[tuple[CallT, int, int]] = []
        while self._round and room:
            customer = self._round.popleft()
            own = self._calls[customer]
            left = turn = min(room, TURN)
            while own and left:
                call = own.popleft()
                if call.over:
                    continue
                start = call.prepared
                call.prepared = min(start + left, call.size)
                left -= call.prepared - start
                taken.append((call, start, call.prepared))
                if call.prepared < call.size:
                    own.append(call)
            room -= turn - left
            if own:
                self._round.append(customer)
            else:
                del self._calls[customer]
        return taken

    def drop_over(self) -> None:
        """Forgets the calls that are over."""
        for customer in list(self._round):
            own = deque(call for call in self._calls[customer] if not call.over)
            if own:
                self._calls[customer] = own
            else:
                del self._calls[customer]
                self._round.remove(customer)


@dataclass(eq=False, slots=True)
class Piece(Generic[CallT]):
    """One prepared item of a call, until it is taken into a batch. `bytes` are those it holds."""

    call: CallT
    position: int
    encoded: Encoded
    bytes: int = 0
    taken: bool = False


@dataclass(eq=False, slots=True)
class _Customer(Generic[CallT]):
    """A customer with pieces in the pool: what it has `used`, from which `turn` on a new call
    stands in its line, the pieces that each of its calls has there, and the calls by turn."""

    name: str
    used: float
    turn: float
    calls: dict[CallT, deque[Piece[CallT]]] = field(default_factory=dict)
    line: list[tuple[float, int, CallT]] = field(default_factory=list)


class Pool(Generic[CallT]):
    """Prepared items, in two orders: by turn (who is next) and by cost (who fits beside).
    `largest` is the most that a batch holds."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._costs: list[int] = []
        self._pieces: list[Piece[CallT]] = []
        self._customers: dict[str, _Customer[CallT]] = {}
        self._next: list[tuple[float, int, _Customer[CallT]]] = []
        self._left: dict[str, float] = {}
        self._used = 0.0
        self._turn = 0.0
        self._numbers = count()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, piece: Piece[CallT]) -> None:
        """Puts a piece in its place in both orders."""
        cost = piece.encoded.cost
        place = bisect_right(self._costs, cost)
        self._costs.insert(place, cost)
        self._pieces.insert(place, piece)
        self.bytes += piece.bytes
        call, customer = piece.call, self._joined(piece.call.customer)
        own = customer.calls.get(call)
        if own is None:
            # Also one that comes back: its customer's line has moved on meanwhile.
            call.turn = max(call.turn, customer.turn)
            own = customer.calls[call] = deque()
            heapq.heappush(customer.line, (call.turn, next(self._numbers), call))
        own.append(piece)

    def take(self) -> list[Piece[CallT]]:
        """The next batch: whose turn it is, and the nearest to it in cost."""
        leader = self._leader()
        if leader is None:
            return []
        start = self._pieces.index(leader, bisect_left(self._costs, leader.encoded.cost))
        start, end = self._around(start)
        batch = self._pieces[start:end]
        del self._pieces[start:end], self._costs[start:end]
        for piece in batch:
            # All pay for what they take, also when they come along in another's turn.
            customer, part = self._customers[piece.call.customer], 1 / TURN
            customer.used += rounded(piece.encoded.cost)
            piece.call.turn += part
            # With every round of the calls that wait the line moves on, so that those which come
            # later never stand before all that is left of a large one.
            customer.turn += part / len(customer.calls)
            self._turn = max(self._turn, customer.turn)
            self._leave(piece)
        self._forget()
        return batch

    def drop_over(self) -> None:
        """Forgets the pieces of calls that are over."""
        kept = []
        for piece in self._pieces:
            if piece.call.over:
                self._leave(piece)
            else:
                kept.append(piece)
        self._pieces = kept
        self._costs = [piece.encoded.cost for piece in kept]
        self._forget()

    def _joined(self, name: str) -> _Customer[CallT]:
        customer = self._customers.get(name)
        if customer is None:
            used = max(self._used, self._left.pop(name, 0.0))
            customer = self._customers[name] = _Customer(name, used, self._turn)
            heapq.heappush(self._next, (used, next(self._numbers), customer))
        return customer

    def _leave(self, piece: Piece[CallT]) -> None:
        piece.taken = True
        self.bytes -= piece.bytes
        customer = self._customers[piece.call.customer]
        own = customer.calls[piece.call]
        while own and own[0].taken:
            own.popleft()
        if not own:
            del customer.calls[piece.call]
        if not customer.calls:  # it must not gain by leaving and coming back
            del self._customers[customer.name]
            self._left[customer.name] = customer.used

    def _forget(self) -> None:
        """What is too long ago to matter."""
        if not self._pieces:
            self._next.clear()
            self._left.clear()
            self._used = 0.0
        elif len(self._left) > _REMEMBERED:
            self._left = {name: used for name, used in self._left.items() if used > self._used}

    def _around(self, place: int) -> tuple[int, int]:
        """From where to where the neighbours of `place` in cost fill a batch."""
        costs, start, end = self._costs, place, place + 1
        while end - start < self._largest:
            lowest, highest = rounded(costs[start]), rounded(costs[end - 1])
            less = rounded(costs[start - 1]) if start else 0
            more = rounded(costs[end]) if end < len(costs) else 0
            down = bool(less) and highest <= less * RATIO
            up = bool(more) and more <= lowest * RATIO
            if not (down or up):
                break
            if down and (not up or highest - less <= more - lowest):
                start -= 1
            else:
                end += 1
        return start, end

    def _leader(self) -> Piece[CallT] | None:
        """The next piece of the customer who has used least among those who wait."""
        while self._next:
            used, _, customer = heapq.heappop(self._next)
            if self._customers.get(customer.name) is not customer:
                continue  # it has left since
            if used < customer.used:  # it came along in another's turn: its own comes later
                heapq.heappush(self._next, (customer.used, next(self._numbers), customer))
                continue
            call = self._first(customer)
            customer.turn = max(customer.turn, call.turn)
            self._used = max(self._used, used)
            heapq.heappush(self._next, (used, next(self._numbers), customer))
            return customer.calls[call][0]
        return None

    def _first(self, customer: _Customer[CallT]) -> CallT:
        """Whose turn it is among the calls of `customer`."""
        while True:
            turn, _, call = customer.line[0]
            if call not in customer.calls:  # nothing of it waits here now
                heapq.heappop(customer.line)
            elif turn < call.turn:  # it came along in another's turn: its own comes later
                again = (call.turn, next(self._numbers), call)
                heapq.heapreplace(customer.line, again)
            else:
                return call
