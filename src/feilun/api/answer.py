"""What leaves: the answer of a call that is charged."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

__all__ = ["EVENTS", "JSON_LENGTH", "Answer", "Streamed", "Write", "framing", "whole"]

EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
"""The header of an answer in pieces: server-sent events, as the HTML standard describes them."""

Write = Callable[[bytes], Awaitable[None]]
"""Sends a piece of an answer, and its head before the first."""

JSON_LENGTH = b"inference-header-content-length"
"""The header that says where the JSON of a body ends and binary data begins."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON body, and headers beside those that every answer has."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that leaves in pieces, as server-sent events: `run` makes and writes them. What it
    raises before it has written anything is answered as an error. `ended` is called afterwards."""

    run: Callable[[Write], Awaitable[None]]
    ended: list[Callable[[], None]] = field(default_factory=list)


async def whole(answer: Answer | Streamed) -> Answer:
    """The answer with all its pieces."""
    if isinstance(answer, Answer):
        return answer
    parts: list[bytes] = []

    async def write(part: bytes) -> None:
        parts.append(part)

    await answer.run(write)
    return Answer(b"".join(parts), (EVENTS,))


def framing(body: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that say where binary data begins behind the JSON of `body`, or that it is a
    stream; none for JSON alone.

    They are read off the body, because an answer that was kept is kept without headers.
    """
    if body.startswith((b"data: ", b"event: ")):
        return (EVENTS,)
    # In Latin-1 a byte is a character, and JSON's own characters are the same.
    _, length = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    if length == len(body):
        return ()
    return (JSON_LENGTH, b"%d" % length), (b"content-type", b"application/octet-stream")
