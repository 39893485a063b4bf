"""Near-duplicates: texts that differ in a few letters, or only in case, width, punctuation, space.

Two texts are near-duplicates when their plain forms (see `_near_plain`) are within `edits` of each
other: one letter from eight letters on, one in sixteen of long texts; and below 64 letters they
must have the same digits. Time is linear in the rows; memory is under 64 bytes a row, the rest
waits in files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from feilun.data._near_keys import BANDS, GAPS, Keys, agreement, alike, keys
from feilun.data._near_plain import LIMIT, plain
from feilun.data._near_spill import Spill

__all__ = ["Grouper", "NearIndex", "groups"]

_CHUNK = 250_000
"""Letters worked on at once: their arrays fit the processor's cache, more is slower."""
_WINDOW = 8
"""Texts with one key in common are compared with so many that follow, and with the first."""
_AT_ONCE = 1 << 16
_AGREE = 16
"""Of the 32 parts of two sketches so many must agree. Four are from the band that brought the texts
together; of the rest, near-duplicates share more than half."""


def groups(texts: Iterable[str], *, spill: Path | None = None) -> np.ndarray:
    """The number of the first row of the group of near-duplicates that each text belongs to, int64
    (n,): its own when it is alone. Files wait in the folder `spill`, else in the system's."""
    with closing(Grouper(spill)) as grouper:
        source = iter(texts)
        while some := list(islice(source, 4096)):
            grouper.add(some)
        return grouper.finish()


class Grouper:
    """`groups` for texts that come bit by bit: `add` them, then `finish`. Close it, or its
    files stay."""

    def __init__(self, spill: Path | None = None) -> None:
        self._spill = Spill(spill)
        self._whole = bytearray()

    def close(self) -> None:
        """Takes the files away."""
        self._spill.close()

    def add(self, texts: Sequence[str]) -> None:
        """Some more texts."""
        for some in _chunks(texts):
            forms = plain(some)
            whole, ends = forms.utf8()
            places = ends.tolist()
            self._whole += b"".join(
                blake2b(whole[begin:end], digest_size=8).digest() for begin, end in pairwise(places)
            )
            self._spill.add(forms, whole, ends, keys(forms))

    def finish(self) -> np.ndarray:
        """The groups of all texts, as `groups` tells them."""
        self._spill.finish()
        parents = _equal(np.frombuffer(self._whole, np.uint64))
        self._whole = bytearray()
        _Joining(self._spill, parents).run()
        return parents


def _equal(keys: np.ndarray) -> np.ndarray:
    """The first row with the same key as each, int64 (n,)."""
    order = np.argsort(keys, kind="stable")
    begins = np.ones(len(keys), bool)
    begins[1:] = keys[order[1:]] != keys[order[:-1]]
    first = order[begins][np.cumsum(begins) - 1]
    parents = np.empty(len(keys), np.int64)
    parents[order] = first
    return parents


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    begin = size = 0
    for place, text in enumerate(texts):
        if size >= _CHUNK:
            yield texts[begin:place]
            begin, size = place, 0
        size += min(len(text), LIMIT)
    if begin < len(texts):
        yield texts[begin:]


class _Joining:
    """Joins the groups of rows that share a key and are alike. `parents` lead from each row to the
    first of its group, in one step when `run` is done."""

    def __init__(self, spill: Spill, parents: np.ndarray) -> None:
        self._spill = spill
        self._parents = parents

    def run(self) -> None:
        """All keys, one kind after the other."""
        rows = self._spill.rows("short")
        alone = self._parents[rows] == rows  # equal plain forms are one group already
        for gap in range(GAPS):
            self._keys([f"gap{less}{gap}" for less in (0, 1)], rows, alone, None)
        rows = self._spill.rows("long")
        alone = self._parents[rows] == rows
        sketches = self._spill.sketches()
        for band in range(BANDS):
            self._keys([f"band{band}"], rows, alone, sketches)

    def _keys(
        self, names: list[str], rows: np.ndarray, alone: np.ndarray, sketches: np.ndarray | None
    ) -> None:
        """Compares rows that share a key in these columns. Many rows are taken in parts, by the
        first bits of their keys: what is sorted stays small."""
        bits = 4 if len(rows) > _AT_ONCE else 0
        for part in range(1 << bits):
            found, places = [], []
            for name in names:
                for begin, piece in self._spill.keys(name):
                    chosen = alone[begin : begin + len(piece)].copy()
                    if bits:
                        chosen &= piece >> np.uint64(64 - bits) == part
                    found.append(piece[chosen])
                    places.append(np.flatnonzero(chosen) + begin)
            if found:
                self._runs(np.concatenate(found), np.concatenate(places), rows, sketches)

    def _runs(
        self,
        column: np.ndarray,
        places: np.ndarray,
        rows: np.ndarray,
        sketches: np.ndarray | None,
    ) -> None:
        """Compares rows of equal keys: each with the first, and with some that went before."""
        order = np.argsort(column, kind="stable")
        order = order[_shared(column[order])]
        if not len(order):
            return
        run = np.cumsum(np.diff(column[order], prepend=column[order[0]]) != 0)
        places = places[order]
        first = np.searchsorted(run, run)
        here = np.arange(len(order))
        for step in range(_WINDOW):
            earlier = first if step == 0 else np.maximum(here - step, 0)
            pairs = np.flatnonzero((earlier < here) & (run[earlier] == run))
            if not len(pairs):
                return
            self._pairs(rows, places[earlier[pairs]], places[pairs], sketches)

    def _pairs(
        self, rows: np.ndarray, one: np.ndarray, other: np.ndarray, sketches: np.ndarray | None
    ) -> None:
        """Tries pairs, given by their places in `rows` and `sketches`."""
        self._flatten()
        apart = self._parents[rows[one]] != self._parents[rows[other]]
        one, other = one[apart], other[apart]
        for begin in range(0, len(one), 65_536):
            a, b = one[begin : begin + 65_536], other[begin : begin + 65_536]
            if sketches is not None:
                near = agreement(sketches[a], sketches[b]) >= _AGREE
                a, b = a[near], b[near]
            for x, y in zip(rows[a].tolist(), rows[b].tolist(), strict=True):
                self._try(x, y)

    def _try(self, x: int, y: int) -> None:
        """Joins the groups of two rows that are alike, unless their first rows are further apart
        than two such steps: groups do not grow into chains."""
        one, other = self._root(x), self._root(y)
        if one == other or not alike(self._spill.text(x), self._spill.text(y)):
            return
        first = {one, other} == {x, y}
        if not first and not alike(self._spill.text(one), self._spill.text(other), times=2):
            return
        self._parents[max(one, other)] = min(one, other)

    def _root(self, row: int) -> int:
        parents = self._parents
        while (parent := int(parents[row])) != row:
            row = parent
        return row

    def _flatten(self) -> None:
        while True:
            further = self._parents[self._parents]
            if (further == self._parents).all():
                return
            self._parents[:] = further


def _shared(ordered: np.ndarray) -> np.ndarray:
    """Which of some sorted values occur more than once, bool (n,)."""
    shared = np.zeros(len(ordered), bool)
    if len(ordered) > 1:
        same = ordered[1:] == ordered[:-1]
        shared[1:] = same
        shared[:-1] |= same
    return shared


class NearIndex:
    """Known texts that new ones are asked against, in memory: some 3 KiB a text. Texts have the
    numbers 0, 1, … in the order in which they were added."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts: list[str] = []
        self._places: dict[int, list[int]] = {}
        self.add_many(texts)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str) -> None:
        """One more known text."""
        self.add_many([text])

    def add_many(self, texts: Iterable[str]) -> None:
        """More known texts, faster than one by one."""
        for form, found in _keyed(texts):
            number = len(self._texts)
            self._texts.append(form)
            for key in found:
                self._places.setdefault(key, []).append(number)

    def find(self, text: str) -> list[int]:
        """The numbers of the known texts that `text` is a near-duplicate of, in order."""
        return self.find_many([text])[0]

    def find_many(self, texts: Iterable[str]) -> list[list[int]]:
        """`find` for many, faster than one by one."""
        answers = []
        for form, found in _keyed(texts):
            near = {number for key in found for number in self._places.get(key, ())}
            answers.append(
                sorted(n for n in near if self._texts[n] == form or alike(form, self._texts[n]))
            )
        return answers


def _keyed(texts: Iterable[str]) -> Iterator[tuple[str, set[int]]]:
    """Each text's plain form with its keys, those of one kind apart from those of another."""
    source = iter(texts)
    while listed := list(islice(source, 4096)):
        for some in _chunks(listed):
            forms = plain(some)
            whole, ends = forms.utf8()
            cuts = ends.tolist()
            pieces = [whole[begin:end] for begin, end in pairwise(cuts)]
            found = [{hash(piece)} for piece in pieces]
            _note(keys(forms), found)
            for piece, one in zip(pieces, found, strict=True):
                yield piece.decode("utf-8", "surrogatepass"), one


def _note(some: Keys, found: list[set[int]]) -> None:
    gaps = some.gaps.reshape(len(some.gaps), 2 * GAPS)
    for place, row in zip(some.short.tolist(), gaps, strict=True):
        found[place].update(row.tolist())
    for place, row in zip(some.long.tolist(), some.bands, strict=True):
        found[place].update(row.tolist())
