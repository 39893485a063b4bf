"""Which script a text is written in, many texts at once.

The script stands for the language as far as it can be told without a model: Chinese, Japanese,
Korean, Russian and English differ in it, English and French do not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache

import numpy as np

__all__ = ["NAMES", "WORDLESS", "classify", "garbled", "trace"]

NAMES = ("none", "digits", "latin", "han", "kana", "hangul", "cyrillic", "arabic", "other")
"""Scripts by their number. ``none``: not one letter or digit."""
WORDLESS = 0

_DIGITS, _LATIN, _HAN, _KANA, _OTHER = 1, 2, 3, 4, 8
_HEAD = 1000
"""Characters of a text that are looked at."""
_DENSE = 3
"""A character of these scripts says about as much as so many letters."""
_RANGES = (
    (_KANA, 0x3040, 0x30FF),
    (5, 0x1100, 0x11FF),
    (5, 0xAC00, 0xD7A3),
    (6, 0x0400, 0x052F),
    (7, 0x0600, 0x06FF),
    (_HAN, 0x3400, 0x4DBF),
    (_HAN, 0x4E00, 0x9FFF),
    (_HAN, 0xF900, 0xFAFF),
)
# What texts look like that were read in another encoding than they were written in.
_GARBLED = ("\ufffd", "锟斤拷", "烫烫烫", "屯屯屯", "Ã©", "Ã¨", "â€™", "â€œ", "ï»¿", "ä¸", "æ˜")


def classify(texts: Sequence[str]) -> np.ndarray:
    """The number of each text's script, uint8 (n,): the one most of it is in. Japanese counts where
    a tenth of its Chinese and Japanese characters are kana."""
    heads = [text[:_HEAD] + " " for text in texts]
    if not heads:
        return np.zeros(0, np.uint8)
    order = "utf-32-le" if sys.byteorder == "little" else "utf-32-be"
    points = np.frombuffer("".join(heads).encode(order, "surrogatepass"), np.uint32)
    kinds: np.ndarray = _table()[np.minimum(points, 0xFFFF)]
    kinds[(points >= 0x20000) & (points < 0x33480)] = _HAN
    owner = np.repeat(np.arange(len(heads)), [len(head) for head in heads])
    size = len(NAMES)
    counts = np.bincount(owner * size + kinds, minlength=len(heads) * size).reshape(-1, size)
    counts[:, WORDLESS] = 0
    has_digits = counts[:, _DIGITS] > 0
    counts[:, _DIGITS] = 0
    japanese = counts[:, _KANA] * 10 >= counts[:, _HAN] + counts[:, _KANA]
    japanese &= counts[:, _KANA] > 0
    both = counts[:, _HAN] + counts[:, _KANA]
    counts[:, _KANA] = np.where(japanese, both, 0)
    counts[:, _HAN] = np.where(japanese, 0, both)
    counts[:, _HAN : _KANA + 2] *= _DENSE
    best: np.ndarray = counts.argmax(axis=1)
    best[counts.max(axis=1) == 0] = WORDLESS
    best[(best == WORDLESS) & has_digits] = _DIGITS
    numbers: np.ndarray = best.astype(np.uint8)
    return numbers


def garbled(text: str) -> bool:
    """Whether the text was read in another encoding than it was written in, as far as its traces
    show."""
    return not text.isascii() and any(sign in text for sign in _GARBLED)


def trace(text: str) -> int:
    """Where the first trace of garbling stands, 0 without one."""
    return min((text.index(sign) for sign in _GARBLED if sign in text), default=0)


@cache
def _table() -> np.ndarray:
    """The script of every code point of the basic plane; what lies beyond shares the last one."""
    table = np.zeros(0x10000, np.uint8)
    for point in range(0x10000):
        letter = chr(point)
        if letter.isdigit():
            table[point] = _DIGITS
        elif letter.isalpha():
            table[point] = _LATIN if point < 0x0250 or 0x1E00 <= point < 0x1F00 else _OTHER
    for number, first, last in _RANGES:
        part = table[first : last + 1]
        part[part == _OTHER] = number
    table[0xFF21:0xFF3B] = table[0xFF41:0xFF5B] = _LATIN
    return table
