"""Texts of a deny list, whatever their case and width."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

__all__ = ["first", "plain"]


def plain(text: str) -> str:
    """`text` without case and width, each character still in its place."""
    folded = (unicodedata.normalize("NFKC", one).lower() for one in text)
    return "".join(new if len(new) == 1 else one for new, one in zip(folded, text, strict=True))


def first(text: str, denied: Iterable[str]) -> int | None:
    """Where the first of the `denied` texts, as `plain` gives them, begins; None for none."""
    folded = plain(text)
    return min((place for one in denied if (place := folded.find(one)) >= 0), default=None)
