"""Who passes the middleware now: nobody new while the server stops, and no more than memory
holds."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from feilun.serving.admission import Gate
from feilun.serving.caller import TIMEOUT_HEADER, Caller, caller
from feilun.serving.limits import MAX_BODY

__all__ = ["CALLER", "CONNECTION", "let_in", "note_caller"]

CALLER = "feilun.caller"
"""Where a request's scope keeps its caller, for the connection that may be lost."""
CONNECTION = "feilun.connection"
"""Where a request's scope has its connection (`feilun.serving.caller.Connection`)."""

_ALWAYS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Whoever watches the server is answered also when nobody else is."""


def note_caller(scope: MutableMapping[str, Any], headers: Mapping[bytes, bytes]) -> None:
    """Notes who waits for this request's answer. The workspace's own processes have patience."""
    patient = scope["path"].startswith("/internal/")
    timeout = headers.get(TIMEOUT_HEADER, b"")
    scope[CALLER] = who = Caller(timeout, patient, scope.get(CONNECTION))
    caller.set(who)


def let_in(gate: Gate, path: str, headers: Mapping[bytes, bytes]) -> int:
    """Counts a request in; `Gate.leave` takes what this returns. Raises `Overloaded`."""
    if path in _ALWAYS:
        return 0
    length = headers.get(b"content-length", b"")
    if length.isdigit():
        size = min(int(length[:20]), MAX_BODY)
    else:  # a body in pieces may become as long as any
        size = MAX_BODY if b"transfer-encoding" in headers else 0
    return gate.enter(size)
