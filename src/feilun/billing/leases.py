"""Limits that several servers share, cut into slices that each uses up in memory.

A call takes from its server's slice, which costs a comparison. Who has used a slice up takes the
next from the database. A slice counts as taken, so that all servers together never take more than
the limit; what a server holds and does not use, it gives back after a few seconds. A slice holds
for a time only, and is renewed: one of a server that was killed, or that lost its database, is no
longer counted when that time is over.

A server that is alone keeps rates and calls at a time in memory alone, for nobody shares them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from feilun.store.ledger_allowances import FRESH_SECONDS, Allowances, Counted

__all__ = ["Bucket", "Lease", "Sharing"]

HOLDS_SECONDS = FRESH_SECONDS * 2 / 3
"""How long a slice may be used without a renewal: shorter than others count it, so that nobody
spends what another has been given."""

IDLE_SECONDS = 5.0
"""How long a slice that nobody uses is kept."""

REFUSED_SECONDS = 0.5
"""How long a refusal holds: so that a flood of calls asks the database twice a second."""

RATE_SLICE_SECONDS = 0.2
"""A server takes the calls of so many seconds at once of a rate that it shares."""

SLICES = 100
"""A slice is this part of a limit, or what one call needs where that is more."""


class Sharing:
    """What every share of one server knows: the allowances, the name that this server writes
    under, and whether there are others."""

    def __init__(self, allowances: Allowances, writer: Callable[[], str]) -> None:
        self.allowances = allowances
        self.writer = writer
        self.others = False


class Lease:
    """This server's slice of one limit. `take` from it; then `settle` what was used.

    `limit` None counts only; that of a balance is what was paid in, asked for with each slice.
    `counted` names what the ledger counts against the limit; without it
    (calls at a time) only what is held counts, and a server that is alone asks nobody. For the
    event loop's thread alone.
    """

    def __init__(
        self,
        sharing: Sharing,
        name: str,
        limit: int | None,
        counted: Counted | None = None,
        slice: int | None = None,
    ) -> None:
        self.name = name
        self.slice = slice
        """What is taken at once; by default a part of the limit."""
        self.limit = limit
        self.counted = counted
        self.spent = 0
        """What is on record of all servers, as far as this one knows."""
        self.pending = 0
        """What calls that run have taken."""
        self._sharing = sharing
        self._unused = 0
        self._writer = ""
        self._until = 0.0
        self._used_at = 0.0
        self._refused_until = 0.0
        self._asking = asyncio.Lock()

    def take(self, count: int) -> bool:
        """Takes `count` where the slice has it; never waits."""
        if self._local:
            if self.limit is not None and self.pending + count > self.limit:
                return False
            self.pending += count
            return True
        now = monotonic()
        if self._unused < count or now > self._until or (not count and not self._writer):
            return False
        self._used_at = now
        self._unused -= count
        self.pending += count
        return True

    async def ask(self, count: int) -> bool:
        """Takes `count`, of the next slice where need be; False where the limit does not have it.
        Raises `EnvironmentProblem` when the database is away."""
        if self.take(count):
            return True
        if self._local or monotonic() < self._refused_until:
            return False
        async with self._asking:  # those who wait share what comes
            if self.take(count):
                return True
            if monotonic() < self._refused_until:
                return False
            while await self._lease(count):
                if self.take(count):
                    return True
                # Others took of the old slice while the new one was asked for.
            if self.take(count):
                return True
            self._refused_until = monotonic() + REFUSED_SECONDS
            return False

    def settle(self, taken: int, used: int) -> None:
        """A call that took `taken` is on record with `used`."""
        self.pending -= taken
        self._unused += taken - used
        self.spent += used

    def give_back(self, taken: int) -> None:
        """A call that took `taken` used nothing."""
        self.pending -= taken
        if not self._local:
            self._unused += taken
            self._refused_until = 0.0

    @property
    def holds(self) -> bool:
        """Whether there is a slice, used or not."""
        return bool(self._writer)

    @property
    def idle(self) -> bool:
        """Whether nobody has taken of the slice for a while."""
        return self.holds and monotonic() > self._used_at + IDLE_SECONDS

    def renewed(self, asked_at: float, writer: str) -> None:
        """The slice of `writer` holds on from `asked_at` (of `monotonic`)."""
        if writer == self._writer:
            self._until = asked_at + HOLDS_SECONDS

    def lapse(self) -> None:
        """The slice is no longer this server's."""
        self._unused, self._until, self._writer = 0, 0.0, ""
        self._refused_until = 0.0

    async def shrink(self) -> None:
        """Gives back what is unused, and looks again at what is on record."""
        async with self._asking:
            self._unused = 0
            await self._lease(0)
            if not self.pending:
                self.lapse()

    @property
    def _local(self) -> bool:
        return self.counted is None and not self._sharing.others

    async def _lease(self, count: int) -> bool:
        """Takes a slice from which `count` can be taken; whether the limit had all of it."""
        writer = self._sharing.writer()
        begun = monotonic()
        if writer != self._writer or begun > self._until:
            self._unused = 0  # it was another writer's, or others no longer count on it
        self._unused = max(0, self._unused)  # what was used beyond the slice is on record
        want = max(count, self._slice()) - self._unused if count else 0
        grant = await asyncio.to_thread(
            self._sharing.allowances.lease,
            self.name,
            writer,
            holding=self.pending + self._unused,
            want=max(0, want),
            limit=self.limit,
            counted=self.counted,
        )
        self._writer, self._until = writer, begun + HOLDS_SECONDS
        if self.counted is not None and self.counted.prepaid:
            self.limit = grant.limit
        self._unused += grant.granted
        self.spent = grant.spent
        return grant.granted >= want

    def _slice(self) -> int:
        if self.slice is not None:
            return self.slice
        if self.counted is None:
            return max(1, (self.limit or 1) // 8)
        if self.counted.prepaid:  # of what is left: all that was ever paid in says nothing
            return max(1, ((self.limit or 0) - self.spent) // SLICES)
        return max(1, (self.limit or 0) // SLICES)


class Bucket:
    """A token bucket: `rate` calls a second, `burst` at once after a pause. Shared with other
    servers where there are any."""

    def __init__(self, sharing: Sharing, name: str, rate: float, burst: int) -> None:
        self.name = name
        self.rate = rate
        self.burst = burst
        self._sharing = sharing
        # When it is full again, in seconds of `monotonic`.
        self._full_at = 0.0
        self._slice = 0
        self._slice_at = 0.0
        self._refused_until = 0.0
        self._asking = asyncio.Lock()

    def take(self) -> float:
        """Takes a call where there is one: 0, or the seconds until there is one. Below 0: ask."""
        now = monotonic()
        if self._sharing.others:
            if self._slice > 0 and now < self._slice_at + IDLE_SECONDS:
                self._slice -= 1
                return 0.0
            return self._refused_until - now if now < self._refused_until else -1.0
        begin = max(self._full_at, now)
        wait = begin + (1 - self.burst) / self.rate - now
        if wait > 1e-9:
            return wait
        self._full_at = begin + 1 / self.rate
        return 0.0

    async def ask(self) -> float:
        """As `take`, of the next slice of what servers share."""
        async with self._asking:
            wait = self.take()
            if wait >= 0:
                return wait
            want = max(1, min(self.burst, round(self.rate * RATE_SLICE_SECONDS)))
            begun = monotonic()
            granted, full_in = await asyncio.to_thread(
                self._sharing.allowances.take_calls, self.name, want, self.rate, self.burst
            )
            self._full_at = begun + full_in
            if not granted:
                self._refused_until = begun + max(0.001, full_in + (1 - self.burst) / self.rate)
                return max(0.001, self._refused_until - monotonic())
            self._slice, self._slice_at = granted - 1, begun
            return 0.0

    @property
    def remaining(self) -> int:
        """Calls that may begin at once, as far as this server knows."""
        missing = max(0.0, self._full_at - monotonic()) * self.rate
        return max(0, int(self.burst - missing + 1e-6)) + self._slice

    @property
    def full_in(self) -> float:
        """Seconds until the bucket is full."""
        return max(0.0, self._full_at - monotonic())
