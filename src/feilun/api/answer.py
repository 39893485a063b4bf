"""What leaves: the answer of a call that is charged."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Answer"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON body, and headers beside those that every answer has."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
