"""What is let in: as much as can be answered in time, and no more than fits into memory.

A call is refused before any work when it would wait longer than its caller does. What it would wait
is reckoned from what is under way and from how long an input takes when the engine has its hands
full. Turns go round customers (`engines._fair`), so a customer with little under way waits for its
own share alone, whatever the others have sent.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from feilun.errors import Overloaded

__all__ = ["Admission", "Gate"]

_TURN = 8  # inputs that a customer may get in one turn
_MARGIN = 0.6
"""Share of its time that a call may be expected to wait. The reckoning is no promise: an engine may
be slower in the next second than it was in the last, and a queue that is kept full shows it."""
_WINDOW_INPUTS = 32
_WINDOW_SECONDS = 0.25
_NEW = 0.3  # weight of the newest window
_FADE = 0.02  # of what was measured under load too much, with each call answered without it
_SMALLEST = 16 * 1024  # bytes that any request counts for: its task, buffers, headers


class Gate:
    """What one server holds at once. `most_bytes` bounds the bodies of all requests under way."""

    def __init__(self, most_bytes: int | None = None) -> None:
        self.most_bytes = most_bytes or _default_bytes()
        self.bytes = 0
        self.inside = 0
        self.draining = False
        self.lag = 0.0
        self.refused = 0

    def enter(self, size: int) -> int:
        """Lets a request with a body of `size` bytes in; give what it returns to `leave`.

        Raises `Overloaded` while the server stops, and when bodies fill the memory meant for them.
        """
        if self.draining:
            raise Overloaded("serving.stopping", retry_after=1.0)
        held = max(size, _SMALLEST)
        # A single body that is larger than everything still goes in when it is alone.
        if self.inside and self.bytes + held > self.most_bytes:
            self.refused += 1
            raise Overloaded("serving.bodies_full", retry_after=1.0)
        self.bytes += held
        self.inside += 1
        return held

    def leave(self, held: int) -> None:
        """The request has been answered."""
        self.bytes -= held
        self.inside -= 1


class Admission:
    """The queue before one engine, by customer. On the event loop's thread only. `lanes` is how
    many batches the engine computes at once, `progress` how many inputs it has computed so far: of
    a large call too, long before it leaves."""

    def __init__(self, gate: Gate, progress: Callable[[], int]) -> None:
        self._gate = gate
        self._progress = progress
        self.lanes = 1
        self._waiting: dict[str, int] = {}
        self._engine_pace = 0.0
        self._full_pace = 0.0
        self._since: float | None = None
        self._done = 0
        self.outstanding = 0
        self.answered = 0
        self.refused = 0

    @property
    def pace(self) -> float:
        """Seconds that an input takes from the engine when everything runs: as it was when the
        engine last had its hands full. An input alone takes several times as long as one of a
        batch, so what calls without a queue took counts only as long as nothing else is known."""
        return self._full_pace or self._engine_pace

    def expected(self, customer: str, inputs: int) -> float:
        """Seconds until `inputs` more of `customer` would be answered."""
        own = self._waiting.get(customer, 0)
        customers = len(self._waiting) + (not own)
        ahead = min(self.outstanding + inputs, customers * max(own + inputs, _TURN))
        return ahead * self.pace + self._gate.lag

    def expect(self, pace: float) -> None:
        """What an input takes, as long as no call has shown it."""
        self._engine_pace = self._engine_pace or pace

    def enter(self, customer: str, inputs: int, seconds: float | None) -> None:
        """Counts a call in whose caller waits `seconds`. Raises `Overloaded` when it would wait
        longer; where nothing else is under way there is no queue, and it is let in."""
        if self._is_full:
            self._measure()
        if seconds is not None and self.outstanding:
            expected = self.expected(customer, inputs)
            if expected > seconds * _MARGIN:
                self.refused += 1
                raise Overloaded(
                    "serving.overloaded",
                    expected=expected,
                    seconds=seconds,
                    retry_after=max(1.0, expected - seconds * _MARGIN),
                )
        self._waiting[customer] = self._waiting.get(customer, 0) + inputs
        self.outstanding += inputs
        if self._is_full:
            self._measure()

    def leave(self, customer: str, inputs: int, engine_seconds: float | None = None) -> None:
        """Counts a call out; `engine_seconds` when it was answered."""
        full = self._is_full
        if full and engine_seconds is not None:
            self._measure()
        self.outstanding -= inputs
        if not self._is_full:
            self._since = None  # what comes next is measured from its own beginning
        left = self._waiting[customer] - inputs
        if left:
            self._waiting[customer] = left
        else:
            del self._waiting[customer]
        if engine_seconds is None:
            return
        self.answered += inputs
        pace = engine_seconds / inputs / self.lanes
        self._engine_pace += (pace - self._engine_pace) * (_NEW if self._engine_pace else 1.0)
        if not full:  # a bad moment under load must not be believed for ever
            self._full_pace -= max(0.0, self._full_pace - self._engine_pace) * _FADE

    @property
    def _is_full(self) -> bool:
        return self.outstanding >= _TURN * self.lanes

    def _measure(self) -> None:
        """How fast the engine answers while it has its hands full, and never across a pause."""
        moment, done = monotonic(), self._progress()
        if self._since is None or done < self._done:  # another engine begins at 0
            self._since, self._done = moment, done
            return
        inputs, took = done - self._done, moment - self._since
        if inputs >= _WINDOW_INPUTS and took >= _WINDOW_SECONDS:
            pace = took / inputs
            self._full_pace += (pace - self._full_pace) * (_NEW if self._full_pace else 1.0)
            self._since, self._done = moment, done


def _default_bytes() -> int:
    """A sixteenth of the machine's memory, 256 MiB at least."""
    import psutil

    return max(256 << 20, int(psutil.virtual_memory().total) // 16)
