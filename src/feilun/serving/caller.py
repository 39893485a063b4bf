"""Who waits for the answer that is being made: how long, and whether still.

The middleware notes it once for each request; whatever answers, in whichever interface, finds it
here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from feilun.errors import InvalidData

__all__ = ["TIMEOUT_HEADER", "Caller", "Connection", "Disconnected", "caller"]

TIMEOUT_HEADER = b"x-request-timeout"


class Disconnected(Exception):
    """The client went away before its answer left."""


class Connection(Protocol):
    """What carries a caller's answer."""

    def pending(self) -> int:
        """Bytes that were written and that the client's machine has not confirmed."""
        ...

    def narrow(self) -> None:
        """Holds back no more of what was written than it must: from now on writing waits for a
        client that does not read."""
        ...


@dataclass(eq=False, slots=True)
class Caller:
    """One request's caller. `timeout` is what its ``x-request-timeout`` says, in seconds, empty
    where it says nothing; a `patient` one (the workspace's own processes) waits for ever. Of one
    that is `gone`, `lost` are the bytes written to it that never came to it."""

    timeout: bytes = b""
    patient: bool = False
    connection: Connection | None = None
    gone: bool = False
    lost: int = 0
    interrupt: Callable[[], None] | None = None
    until: float | None = None

    def seconds(self, most: float) -> float | None:
        """How long it waits, `most` at most; None for ever. Raises `InvalidData` for a header that
        is no number above 0."""
        if self.patient:
            return None
        if not self.timeout:
            return most
        try:
            wanted = float(self.timeout)
        except ValueError:
            wanted = 0.0
        if not (math.isfinite(wanted) and wanted > 0):
            given = self.timeout[:40].decode("latin-1")
            raise InvalidData("serving.bad_timeout", given=given, param="x-request-timeout")
        return min(wanted, most)

    def deadline(self, most: float) -> float | None:
        """Until when it waits, by `time.monotonic`, for all that one request asks of the engine:
        `seconds` from the first time that this is asked. Raises as `seconds` does."""
        seconds = self.seconds(most)
        if seconds is not None and self.until is None:
            self.until = monotonic() + seconds
        return self.until

    def pending(self) -> int:
        """See `Connection`; 0 where there is none."""
        return 0 if self.connection is None else self.connection.pending()

    def leave(self, lost: int = 0) -> None:
        """The client has hung up: what is done for it alone is interrupted."""
        if not self.gone:
            self.gone, self.lost = True, lost
        if self.interrupt is not None:
            self.interrupt()


_nobody = Caller(patient=True)
caller: ContextVar[Caller] = ContextVar("feilun_caller", default=_nobody)
"""The caller of this context; in process, one who waits for ever."""
