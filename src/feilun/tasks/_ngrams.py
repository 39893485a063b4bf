"""Texts as hashed counts of character 1- to 4-grams and word 1- and 2-grams, for any language.

All texts of a chunk are laid end to end as one array of code points and hashed together: n-grams
of characters by a rolling polynomial, words by one sum over each. Nothing is fitted. What a column
means is told by `grams`, which hashes the same way one text at a time.

Texts are NFKC-normalised and lower-cased, runs of white space are one space, and each text begins
and ends with one. A word is a run of letters, digits and combining marks; every character of a
script that is written without spaces, and every other symbol beyond the basic plane (emoji), is a
word of its own.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from feilun.types import Item

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["LONGEST", "NGrams"]

LONGEST = 4
"""Characters of the longest character n-gram."""

_CHUNK_CHARACTERS = 500_000
_CHUNK_TEXTS = 4096

_SPACE, _OTHER, _WORD, _ALONE = 0, 1, 2, 3

_STEP = np.uint32(0x01000193)
_MIX_1 = np.uint32(0x7FEB352D)
_MIX_2 = np.uint32(0x846CA68B)
_WIDE_STEP = 0x9E3779B97F4A7C15
_WIDE_MIX = np.uint64(0xBF58476D1CE4E5B9)
_PAIR = np.uint64(0x94D049BB133111EB)
_PLACES = 64  # a word's characters beyond this many share the powers of the first ones


class NGrams:
    """The features of rung zero for texts: 2 to the `bits` columns of 1 + ln(count), float32."""

    def __init__(self, bits: int = 20) -> None:
        self.bits = bits

    @property
    def size(self) -> int:
        """Number of columns."""
        return 1 << self.bits

    def transform(self, items: Sequence[Item]) -> csr_matrix:
        """One row for each text, columns sorted within the row."""
        from scipy.sparse import csr_matrix

        columns, counts, lengths = [], [], []
        for texts in _chunks(items):
            keys = self._keys(texts)
            keys.sort()
            first = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
            counts.append(np.diff(first, append=len(keys)))
            unique = keys[first]
            columns.append((unique & unique.dtype.type(self.size - 1)).astype(np.int32))
            rows = (unique >> unique.dtype.type(self.bits)).astype(np.int64)
            lengths.append(np.bincount(rows, minlength=len(texts)))
        pointers = np.zeros(len(items) + 1, dtype=np.int64)
        if not columns:
            return csr_matrix((0, self.size), dtype=np.float32)
        np.cumsum(np.concatenate(lengths), out=pointers[1:])
        values = _sublinear(np.concatenate(counts))
        matrix = csr_matrix(
            (values, np.concatenate(columns), pointers), shape=(len(items), self.size)
        )
        matrix.has_sorted_indices = True
        matrix.has_canonical_format = True
        return matrix

    def grams(self, text: str) -> dict[str, int]:
        """Each n-gram of `text` with its column; words are written as ``word`` and ``one two``
        between ``<`` and ``>``."""
        text = _normal(text)
        points = _points(text)
        result = {}
        for size, _, columns in _character_grams(points, self.bits):
            for start, column in enumerate(columns.tolist()):
                result[text[start : start + size]] = column
        starts, ends, hashes = _words(points)
        words = [text[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
        single, pairs = _word_columns(hashes, self.bits)
        for word, column in zip(words, single.tolist(), strict=True):
            result[f"<{word}>"] = column
        for index, column in enumerate(pairs.tolist()):
            result[f"<{words[index]} {words[index + 1]}>"] = column
        return result

    def _keys(self, texts: Sequence[str]) -> np.ndarray:
        """``row << bits | column`` of every n-gram of `texts`, unsorted."""
        points = _points("".join(texts))
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        narrow = len(texts) << self.bits <= 1 << 32
        kind = np.uint32 if narrow else np.uint64
        bases = np.arange(len(texts), dtype=kind) << kind(self.bits)
        row = np.repeat(bases, lengths)
        keys = []
        for size, count, columns in _character_grams(points, self.bits):
            begin, end = row[:count], row[size - 1 :]
            key = begin | columns.astype(kind, copy=False)
            keys.append(key if size == 1 else key[begin == end])
        starts, _, hashes = _words(points)
        owner = row[starts]
        single, pairs = _word_columns(hashes, self.bits)
        keys.append(owner | single.astype(kind, copy=False))
        both = owner[:-1] == owner[1:]
        keys.append((owner[:-1] | pairs.astype(kind, copy=False))[both])
        return np.concatenate(keys)


def _normal(text: str) -> str:
    return f" {' '.join(unicodedata.normalize('NFKC', text).lower().split())} "


def _chunks(items: Sequence[Item]) -> Iterator[list[str]]:
    """Normalised texts in groups that keep the arrays small enough for the processor's cache."""
    chunk: list[str] = []
    characters = 0
    for item in items:
        text = _normal(str(item))
        chunk.append(text)
        characters += len(text)
        if characters >= _CHUNK_CHARACTERS or len(chunk) == _CHUNK_TEXTS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _points(text: str) -> np.ndarray:
    order = "utf-32-le" if sys.byteorder == "little" else "utf-32-be"
    return np.frombuffer(text.encode(order, "surrogatepass"), dtype=np.uint32)


def _character_grams(points: np.ndarray, bits: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """For each size of n-gram: the size, how many there are, and the column of each."""
    rolling = np.zeros(len(points), dtype=np.uint32)
    for size in range(1, LONGEST + 1):
        count = len(points) - size + 1
        if count <= 0:
            return
        rolling = rolling[:count] * _STEP
        rolling ^= points[size - 1 :]
        mixed = rolling + np.uint32(size * 0x9E3779B1 & 0xFFFFFFFF)
        mixed ^= mixed >> np.uint32(16)
        mixed *= _MIX_1
        mixed ^= mixed >> np.uint32(15)
        mixed *= _MIX_2
        mixed >>= np.uint32(32 - bits)
        yield size, count, mixed


def _words(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First place, end and 64-bit hash of every word."""
    kinds = _kinds(points)
    inside = kinds >= _WORD
    alone = kinds == _ALONE
    before = np.concatenate(([False], inside[:-1] & ~alone[:-1]))
    begins = inside & (~before | alone)
    starts = np.flatnonzero(begins)
    if not len(starts):
        return starts, starts, np.zeros(0, dtype=np.uint64)
    number = np.cumsum(begins) - 1
    place = np.arange(len(points)) - starts[np.maximum(number, 0)]
    terms = (points.astype(np.uint64) + np.uint64(1)) * _powers()[place % _PLACES]
    terms[~inside] = 0
    hashes = np.add.reduceat(terms, starts)
    lengths = np.add.reduceat(inside.astype(np.int64), starts)
    return starts, starts + lengths, hashes


@cache
def _powers() -> np.ndarray:
    return np.array([pow(_WIDE_STEP, n + 1, 1 << 64) for n in range(_PLACES)], dtype=np.uint64)


def _word_columns(hashes: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """The columns of single words and of each word with the next."""
    shift = np.uint64(64 - bits)
    single = _mixed(hashes) >> shift
    pairs = _mixed(hashes[:-1] * _PAIR + hashes[1:]) >> shift
    return single.astype(np.uint32), pairs.astype(np.uint32)


def _mixed(hashes: np.ndarray) -> np.ndarray:
    mixed = hashes ^ (hashes >> np.uint64(31))
    mixed = mixed * _WIDE_MIX
    result: np.ndarray = mixed ^ (mixed >> np.uint64(29))
    return result * _PAIR


def _sublinear(counts: np.ndarray) -> np.ndarray:
    table = 1 + np.log(np.arange(1, 1025, dtype=np.float32))
    if counts.max(initial=1) <= len(table):
        return table[counts - 1]
    result: np.ndarray = 1 + np.log(counts.astype(np.float32))
    return result


def _kinds(points: np.ndarray) -> np.ndarray:
    """Of every code point: white space, letter or digit, a word of its own, or anything else."""
    kinds = _table()[np.minimum(points, 0xFFFF)]
    beyond = points > 0xFFFF
    if beyond.any():
        kinds[beyond] = _ALONE
    return kinds


@cache
def _table() -> np.ndarray:
    """The kind of each character of the basic plane."""
    kinds = np.full(0x10000, _OTHER, dtype=np.uint8)
    for point in range(0x10000):
        if unicodedata.category(chr(point))[0] in "LNM":
            kinds[point] = _WORD
    # Written without spaces: Thai to Khmer, kana, Han.
    for first, last in ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF)):
        kinds[first : last + 1] = np.where(kinds[first : last + 1] == _WORD, _ALONE, _OTHER)
    for first, last in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF)):
        kinds[first : last + 1] = _ALONE
    return kinds
