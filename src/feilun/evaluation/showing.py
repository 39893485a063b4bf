"""How a row's input is shown to a person: its text, cut to a readable length, or a thumbnail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from feilun.modalities.image.thumbnail import SIDE, thumbnail
from feilun.types import Item, Scalar

__all__ = ["MOST_LETTERS", "SIDE", "Shown", "show"]

MOST_LETTERS = 2_000
"""Letters of a text that a report shows; the rest is counted, not shown."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown: a text, or a picture as a data URI, and how many letters were cut. Both are
    None for a picture that cannot be drawn."""

    text: str | None = None
    image: str | None = None
    cut: int = 0


def show(item: Item) -> Shown:
    """The item in readable form; a row of several columns one line a column."""
    if isinstance(item, Mapping):
        if len(item) == 1:
            return show(next(iter(item.values())))
        picture = next((v for v in item.values() if isinstance(v, bytes)), None)
        lines = [f"{k}: {_plain(v)}" for k, v in item.items() if not isinstance(v, bytes)]
        text = _cut("\n".join(lines))
        return Shown(text.text, thumbnail(picture) if picture is not None else None, text.cut)
    if isinstance(item, bytes):
        return Shown(image=thumbnail(item))
    return _cut(_plain(item))


def _plain(value: Scalar) -> str:
    return "" if value is None else str(value)


def _cut(text: str) -> Shown:
    return Shown(text[:MOST_LETTERS], cut=max(len(text) - MOST_LETTERS, 0))
