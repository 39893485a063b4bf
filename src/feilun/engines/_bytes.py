"""A language model of n-grams of bytes: interpolated Kneser-Ney (Kneser and Ney, 1995; Chen and
Goodman, 1999).

Its alphabet are the 256 bytes, so that no text of any language is unknown to it. Eight bytes are
one unsigned integer of 64 bits: n-grams are sorted arrays, and looking them up is a binary search.
A document stands between bytes 0xFF, which UTF-8 never has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from feilun.errors import CorruptArtifact

__all__ = ["END", "ORDER", "WEIGHTS", "ByteModel"]

ORDER = 8
END = 0xFF
WEIGHTS = "ngrams.safetensors"

_CHUNK = 1 << 21
_U8, _U64 = np.uint8, np.uint64


class ByteModel:
    """`keys`: for each n from 1 to `ORDER` its n-grams, uint64 ascending; `ends`: the running sum
    of their counts, int64 and one longer. Counts below the highest order are of what stands before
    them, as Kneser and Ney have it."""

    def __init__(self, keys: list[np.ndarray], ends: list[np.ndarray]) -> None:
        self.keys, self.ends = keys, ends
        self._discounts = [_discount(np.diff(one)) for one in ends]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Counts the documents `texts`."""
        keys, counts = np.zeros(0, _U64), np.zeros(0, np.int64)
        for part in _chunks(texts):
            keys, counts = _merged(keys, counts, *np.unique(part, return_counts=True))
        all_keys, all_ends = [], []
        for order in range(ORDER, 0, -1):
            all_keys.append(keys)
            all_ends.append(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
            if order > 1:
                keys, counts = np.unique(keys & _mask(order - 1), return_counts=True)
        return cls(all_keys[::-1], all_ends[::-1])

    def write(self, folder: Path) -> None:
        """Into one file of `folder`."""
        tensors = {f"keys{n}": one for n, one in enumerate(self.keys, 1)}
        tensors |= {f"ends{n}": one for n, one in enumerate(self.ends, 1)}
        save_file(tensors, folder / WEIGHTS)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `write` wrote. Raises `CorruptArtifact`."""
        file = folder / WEIGHTS
        try:
            tensors = load_file(file)
            orders = range(1, ORDER + 1)
            keys, ends = [[tensors[f"{name}{n}"] for n in orders] for name in ("keys", "ends")]
        except (OSError, KeyError, SafetensorError) as error:
            raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
        if any(len(one) + 1 != len(other) for one, other in zip(keys, ends, strict=True)):
            raise CorruptArtifact("engines.bad_weights", file=file, reason="lengths")
        return cls(keys, ends)

    def nats(self, text: bytes) -> np.ndarray:
        """The negative log likelihood of each byte of a document, and of its end: float64
        (bytes + 1,)."""
        grams = _grams(text)
        likely = np.full(len(grams), 1 / 256)
        for order in range(1, ORDER + 1):
            keys, ends = self.keys[order - 1], self.ends[order - 1]
            wanted = grams & _mask(order)
            first = np.searchsorted(keys, wanted & ~_U64(0xFF))
            last = np.searchsorted(keys, wanted | _U64(0xFF), side="right")
            place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            count = np.where(keys[place] == wanted, ends[place + 1] - ends[place], 0)
            total = ends[last] - ends[first]
            discount = self._discounts[order - 1]
            seen = np.maximum(count - discount, 0) + discount * (last - first) * likely
            likely = np.where(total > 0, seen / np.maximum(total, 1), likely)
        return np.asarray(-np.log(likely))

    def following(self, text: bytes) -> np.ndarray:
        """How likely each byte is after `text`, the beginning of a document: float64 (256,)."""
        context = (bytes([END]) * (ORDER - 1) + text)[-(ORDER - 1) :]
        likely = np.full(256, 1 / 256)
        for order in range(1, ORDER + 1):
            keys, ends = self.keys[order - 1], self.ends[order - 1]
            begin = int.from_bytes(context[len(context) - order + 1 :]) << 8
            first = int(np.searchsorted(keys, _U64(begin)))
            last = int(np.searchsorted(keys, _U64(begin | 0xFF), side="right"))
            if first == last:
                continue
            counts = np.diff(ends[first : last + 1])
            discount = self._discounts[order - 1]
            likely = likely * (discount * (last - first))
            likely[(keys[first:last] & _U64(0xFF)).astype(np.int64)] += counts - discount
            likely /= counts.sum()
        return likely


def _discount(counts: np.ndarray) -> float:
    """Ney, Essen and Kneser (1994): from how many n-grams were counted once and twice."""
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return min(0.95, max(0.1, once / max(1, once + 2 * twice)))


def _mask(order: int) -> np.uint64:
    return _U64((1 << 8 * order) - 1)


def _grams(text: bytes) -> np.ndarray:
    """The n-gram of the highest order that ends with each byte of a document and with its end."""
    padded = np.full(len(text) + ORDER, END, _U8)
    padded[ORDER - 1 : -1] = np.frombuffer(text, _U8)
    windows = np.lib.stride_tricks.sliding_window_view(padded, ORDER)
    return np.ascontiguousarray(windows).view(">u8").ravel().astype(_U64)


def _chunks(texts: Iterable[str]) -> Iterator[np.ndarray]:
    held: list[np.ndarray] = []
    size = 0
    for text in texts:
        held.append(_grams(text.encode("utf-8", "replace")))
        size += len(held[-1])
        if size >= _CHUNK:
            yield np.concatenate(held)
            held, size = [], 0
    if held:
        yield np.concatenate(held)


def _merged(
    keys: np.ndarray, counts: np.ndarray, more: np.ndarray, further: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if not len(keys):
        return more, further
    whole, places = np.unique(np.concatenate([keys, more]), return_inverse=True)
    weights = np.concatenate([counts, further])
    return whole, np.bincount(places, weights, len(whole)).astype(np.int64)
