"""What leaves: the answer of a call that is charged."""

from __future__ import annotations

import json
from dataclasses import dataclass

__all__ = ["JSON_LENGTH", "Answer", "framing"]

JSON_LENGTH = b"inference-header-content-length"
"""The header that says where the JSON of a body ends and binary data begins."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON body, and headers beside those that every answer has."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def framing(body: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that say where binary data begins behind the JSON of `body`; none for JSON alone.

    They are read off the body, because an answer that was kept is kept without headers.
    """
    # In Latin-1 a byte is a character, and JSON's own characters are the same.
    _, length = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    if length == len(body):
        return ()
    return (JSON_LENGTH, b"%d" % length), (b"content-type", b"application/octet-stream")
