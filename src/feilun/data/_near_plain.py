"""Texts as near-duplicates are compared: letters and digits alone, without case, width, accent.

Everything works on many texts at once: their code points as one array, cut by `starts`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

__all__ = ["LIMIT", "Plain", "plain"]

LIMIT = 20_000
"""Characters of a text that count; what follows is not looked at."""

_SAME = (  # code points that stay what they are, not asked one by one
    (0x3400, 0x4DC0), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xD800, 0xF900),
    (0x17000, 0x1B000), (0x20000, 0x2F800), (0x30000, 0xE0000),
)  # fmt: skip
_MARKS = ((0x300, 0x370), (0x3099, 0x309B), (0xFE00, 0xFE10), (0xE0000, 0xF0000))
_END = 0xF0000


class Plain:
    """The plain forms of some texts: `codes` (uint32) of all, text i between `starts` i and i+1."""

    __slots__ = ("codes", "starts")

    def __init__(self, codes: np.ndarray, starts: np.ndarray) -> None:
        self.codes = codes
        self.starts = starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64 (n,)."""
        return np.diff(self.starts)

    def utf8(self) -> tuple[bytes, np.ndarray]:
        """All texts as UTF-8, and where each begins and the last ends."""
        codes, starts = self.codes, self.starts
        if not len(codes) or int(codes.max()) < 0x80:
            return codes.astype(np.uint8).tobytes(), starts
        whole = (
            codes.tobytes().decode("utf-32-le", "surrogatepass").encode("utf-8", "surrogatepass")
        )
        width = np.ones(len(codes), np.uint8)
        for border in (0x80, 0x800, 0x10000):
            width += codes >= border
        ends = np.zeros(len(codes) + 1, np.int64)
        np.cumsum(width, out=ends[1:])
        return whole, ends[starts]


def plain(texts: Sequence[str]) -> Plain:
    """The plain forms: form NFKC, case folded, accents, punctuation, spaces and signs gone. A text
    of nothing else stays as it is."""
    texts = [text[:LIMIT] for text in texts]
    raw = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    before = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=before[1:])
    codes = _plain_codes(raw)
    keep = codes != 0
    kept = np.zeros(len(raw) + 1, np.int64)
    np.cumsum(keep, out=kept[1:])
    starts = kept[before]
    bare = np.flatnonzero((np.diff(starts) == 0) & (np.diff(before) > 0))
    if len(bare):
        for row in bare.tolist():
            part = slice(int(before[row]), int(before[row + 1]))
            codes[part], keep[part] = raw[part], True
        np.cumsum(keep, out=kept[1:])
        starts = kept[before]
    return Plain(codes[keep], starts)


def _plain_codes(codes: np.ndarray) -> np.ndarray:
    """The plain form of each code point, uint32; 0 for those that are dropped. Those that come up
    are worked out once: all of Unicode would take longer than most files."""
    table, known = _table()
    for code in np.unique(codes[~known[codes]]).tolist():
        table[code] = _plain(chr(code))
        known[code] = True
    plain_codes: np.ndarray = table[codes]
    return plain_codes


@lru_cache(1)
def _table() -> tuple[np.ndarray, np.ndarray]:
    """Plain forms by code point, and of which they are known."""
    table = np.arange(0x110000, dtype=np.uint32)
    known = np.zeros(0x110000, bool)
    for first, after in (*_SAME, (_END, 0x110000)):
        known[first:after] = True
    for first, after in _MARKS:
        table[first:after], known[first:after] = 0, True
    return table, known


def _plain(char: str) -> int:
    """The first character that is left of `char`: one stands for one, so that texts keep their
    places (``½`` becomes 1, ``ﬁ`` f)."""
    for part in unicodedata.normalize("NFKC", char).casefold():
        base = unicodedata.normalize("NFD", part)[0]
        if "\uac00" <= part <= "\ud7a3":  # syllables, not letters with accents
            base = part
        kind = unicodedata.category(base)
        if kind[0] not in "PZC" and kind not in ("Sk", "Sm"):
            return ord(base)
        if kind == "Cn":
            return ord(base)
    return 0
