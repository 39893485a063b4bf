"""Keys by which near-duplicates find each other, and the test that makes a pair of them.

Two kinds of keys, because one changed letter is much of a short text and little of a long one:

- *gap keys* for texts of at most `GAPS_TO` letters: the text without one of its quarters. Whatever
  the place of one changed, missing or added letter, one of the four is the same on both sides.
- *bands* for texts of `BANDS_FROM` letters or more: MinHash over runs of five letters, each band a
  hash of some minima. Texts alike share a band, whatever their order; others hardly ever.

Keys only propose; `alike` decides.
"""

from __future__ import annotations

import numpy as np

from feilun.data._near_plain import Plain

__all__ = [
    "BANDS",
    "BANDS_FROM",
    "GAPS",
    "GAPS_TO",
    "SKETCH",
    "Keys",
    "agreement",
    "alike",
    "edits",
    "keys",
]

GAPS, GAPS_TO = 4, 64
BANDS, BANDS_FROM = 8, 32
SKETCH = 16
"""Bytes kept of each MinHash signature, half a byte of each minimum: a cheap look before two texts
are compared."""

_SHORTEST = 7
_RUN = 5
_MINIMA = 4
_NUMBERS_TO = 64
_U32, _U64 = np.uint32, np.uint64
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_draw = np.random.default_rng(20_261_122)
_FACTORS = _draw.integers(0, 1 << 32, BANDS * _MINIMA, dtype=_U32) | _U32(1)
_MASKS = _draw.integers(0, 1 << 32, BANDS * _MINIMA, dtype=_U32)
del _draw
_ZEROS = np.array([(byte < 16) + (byte % 16 == 0) for byte in range(256)], np.uint8)


class Keys:
    """The keys of some texts. `short` and `long` are the places of the texts that have each kind;
    `gaps` uint64 (short, 2, GAPS): by the text's own length and by one less, `bands` uint64
    (long, BANDS), `sketch` uint8 (long, SKETCH)."""

    __slots__ = ("bands", "gaps", "long", "short", "sketch")

    def __init__(self, texts: Plain) -> None:
        lengths = texts.lengths
        self.short = np.flatnonzero((lengths >= _SHORTEST) & (lengths <= GAPS_TO))
        self.long = np.flatnonzero(lengths >= BANDS_FROM)
        self.gaps = _gaps(texts, self.short)
        minima = _minima(texts, self.long)
        self.bands = np.empty((len(self.long), BANDS), _U64)
        for band in range(BANDS):
            some = minima[:, band * _MINIMA : (band + 1) * _MINIMA].astype(_U64)
            self.bands[:, band] = _fold(some, band)
        halves = (minima & _U32(15)).astype(np.uint8)  # the low bits: minima begin with zeros
        self.sketch = halves[:, ::2] << np.uint8(4) | halves[:, 1::2]


def keys(texts: Plain) -> Keys:
    """The keys of `texts`."""
    return Keys(texts)


def agreement(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How many of their 32 parts each two of some sketches share, int64 (n,)."""
    return np.asarray(_ZEROS[one ^ other].sum(1))


def edits(length: int) -> int:
    """How many letters may differ in texts of which the longer has `length`: one from eight
    letters on, one in sixteen of long ones."""
    return 0 if length < 8 else max(1, length // 16)


def alike(one: str, other: str, times: int = 1) -> bool:
    """Whether two plain texts are near-duplicates: edit distance within `times` `edits`, and in
    texts of fewer than 64 letters the same digits, because there a number is what is said."""
    from rapidfuzz.distance import Levenshtein

    allowed = times * edits(max(len(one), len(other)))
    if abs(len(one) - len(other)) > allowed:
        return False
    if Levenshtein.distance(one, other, score_cutoff=allowed) > allowed:
        return False
    return min(len(one), len(other)) >= _NUMBERS_TO or _digits(one) == _digits(other)


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _fold(parts: np.ndarray, salt: int) -> np.ndarray:
    """One hash, uint64 (n,), of each row of `parts`, uint64 (n, k)."""
    whole = np.full(len(parts), (salt + 1) * _BASE % (1 << 64), _U64)
    for column in parts.T:
        whole = _mix(whole ^ column) * _U64(_BASE)
    return whole


def _mix(x: np.ndarray) -> np.ndarray:
    """Spreads every bit over all of uint64 (splitmix64)."""
    x = (x ^ (x >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> _U64(27))) * _U64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> _U64(31))
    return mixed


def _gaps(texts: Plain, rows: np.ndarray) -> np.ndarray:
    """uint64 (rows, 2, GAPS). The digits are part of every key, since they must agree."""
    lengths, starts = texts.lengths[rows], texts.starts[rows]
    places = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    codes = texts.codes[places]
    digits = np.where((codes >= 48) & (codes < 58), codes.astype(_U64), _U64(0))
    begins = np.cumsum(lengths) - lengths
    sums = _Sums(_mix(codes.astype(_U64) + _U64(1)))
    numbers = _numbers(digits, begins, lengths)
    found = np.empty((len(rows), 2, GAPS), _U64)
    for less in (0, 1):
        base = lengths - less
        for gap in range(GAPS):
            head = gap * base // GAPS
            tail = base - (gap + 1) * base // GAPS
            parts = (
                sums.of(begins, head),
                sums.of(begins + lengths - tail, tail),
                (head << 16 | tail).astype(_U64),
                numbers,
            )
            found[:, less, gap] = _fold(np.stack(parts, 1), 100 + gap)
    return found


def _numbers(digits: np.ndarray, begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """A hash of each text's digits in their order, uint64 (n,): the letters between them do not
    count."""
    there = np.flatnonzero(digits)
    sums = _Sums(_mix(digits[there]))
    first = np.searchsorted(there, begins)
    return sums.of(first, np.searchsorted(there, begins + lengths) - first)


class _Sums:
    """Hashes of any stretch of an array at once: sums of values times powers."""

    def __init__(self, values: np.ndarray) -> None:
        powers = np.full(len(values) + 1, _BASE, _U64)
        powers[0] = 1
        back = np.full(len(values) + 1, _INVERSE, _U64)
        back[0] = 1
        self._back = np.multiply.accumulate(back)
        self._ends = np.zeros(len(values) + 1, _U64)
        np.cumsum(values * np.multiply.accumulate(powers)[:-1], out=self._ends[1:])

    def of(self, begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """uint64 (n,)."""
        sums: np.ndarray = (self._ends[begins + lengths] - self._ends[begins]) * self._back[begins]
        return sums


def _minima(texts: Plain, rows: np.ndarray) -> np.ndarray:
    """MinHash signatures, uint32 (rows, BANDS * _MINIMA)."""
    found = np.empty((len(rows), len(_FACTORS)), _U32)
    if not len(rows):
        return found
    runs = _runs(texts.codes)
    bounds = np.empty(2 * len(rows), np.int64)
    bounds[::2] = texts.starts[rows]
    bounds[1::2] = texts.starts[rows + 1] - _RUN + 1
    mixed = np.empty_like(runs)
    for place, (factor, mask) in enumerate(zip(_FACTORS, _MASKS, strict=True)):
        np.bitwise_xor(runs, mask, out=mixed)
        np.multiply(mixed, factor, out=mixed)
        found[:, place] = np.minimum.reduceat(mixed, bounds)[::2]
    return found


def _runs(codes: np.ndarray) -> np.ndarray:
    """A hash of the five letters from each place on, uint32; one more at the end."""
    letters = codes * _U32(0x9E3779B1)
    letters ^= letters >> _U32(15)
    count = len(codes) - _RUN + 1
    whole = np.zeros(count + 1, _U32)
    for place in range(_RUN):
        whole[:-1] *= _U32(0x85EBCA6B)
        whole[:-1] += letters[place : place + count]
    whole ^= whole >> _U32(16)
    whole *= _U32(0xC2B2AE35)
    whole ^= whole >> _U32(13)
    return whole
