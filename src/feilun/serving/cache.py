"""Answers to inputs that were asked before, kept in memory up to so many bytes.

Off unless ``serving.cache_mb`` says otherwise. One version's answers depend on the input and the
options alone, so that an entry never grows old; the cache goes with its version. A hit is metered
and logged like any other answer, with the tokens that the input has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from feilun.types import Item, Output

__all__ = ["AnswerCache"]

_OVERHEAD = 200  # bytes of an entry beside its key and its answer: the dictionary's and Python's

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(tuple[dict[str, Any], int]).decode


class AnswerCache:
    """The least recently used leaves first. On the event loop's thread only."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def keys(self, items: Sequence[Item], all_scores: bool) -> list[bytes]:
        """One for each item: the same item with the same options has the same."""
        return [blake2b(_encode((item, all_scores)), digest_size=24).digest() for item in items]

    def get(self, key: bytes) -> tuple[Output, int] | None:
        """The answer and its cost in tokens or pixels, if it is there."""
        raw = self._entries.get(key)
        if raw is None:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return _decode(raw)

    def put(self, key: bytes, output: Output, cost: int) -> None:
        """Keeps an answer, in place of those that were asked for longest ago."""
        if key in self._entries:
            return
        raw = _encode((output, cost))
        size = len(key) + len(raw) + _OVERHEAD
        if size > self._most:
            return
        self._entries[key] = raw
        self.bytes += size
        while self.bytes > self._most:
            old, gone = self._entries.popitem(last=False)
            self.bytes -= len(old) + len(gone) + _OVERHEAD
