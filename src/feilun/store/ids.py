"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import os
import threading
import time

__all__ = ["new_id"]

_lock = threading.Lock()
_last = 0
# Random bytes in advance: asking the system for every id would let other threads in each time.
_random = b""
_used = 0
_AHEAD = 4096


def new_id(prefix: str = "") -> str:
    """`prefix` and 32 hexadecimal digits, laid out like a UUID of version 7.

    48 bits of milliseconds, then 12 bits that keep ids of one process in order within a
    millisecond, then 62 random bits: later ids of a process are greater, and no two are equal.
    """
    global _last, _random, _used
    with _lock:
        # One number of milliseconds and a 12-bit fraction, forced to grow.
        _last = max(_last + 1, (time.time_ns() << 12) // 1_000_000)
        moment = _last
        if _used >= len(_random):
            _random, _used = os.urandom(_AHEAD), 0
        chosen = _random[_used : _used + 8]
        _used += 8
    random = int.from_bytes(chosen, "big") & ((1 << 62) - 1)
    value = (moment >> 12) << 80 | 7 << 76 | (moment & 0xFFF) << 64 | 2 << 62 | random
    return f"{prefix}{value:032x}"


def _forget() -> None:
    """A process that was forked must not give the ids of its parent."""
    global _random, _lock
    _random, _lock = b"", threading.Lock()


os.register_at_fork(after_in_child=_forget)
