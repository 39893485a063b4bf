"""Near-duplicates: texts that differ in a few letters, or only in case, width, punctuation, space.

Two texts are near-duplicates when their plain forms (see `_near_plain`) are within `edits` of each
other: one letter from eight letters on, one in sixteen of long texts; and below 64 letters they
must have the same digits. Time is linear in the rows; memory is under 64 bytes a row, the rest
waits in files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice, pairwise
from pathlib import Path
from types import TracebackType

import numpy as np

from feilun.data._near_keys import BANDS, GAPS, Keys, agreement, alike, keys
from feilun.data._near_plain import LIMIT, plain
from feilun.data._near_spill import Spill

__all__ = ["Grouper", "NearIndex", "groups"]

_CHUNK = 400_000
"""Letters worked on at once: their arrays fit the processor's cache, more is slower."""
_WINDOW = 8
"""Texts with one key in common are compared with so many that follow, and with the first."""
_AGREE = 16
"""Of the 32 parts of two sketches so many must agree. Four are from the band that brought the texts
together; of the rest, near-duplicates share more than half."""


def groups(texts: Iterable[str], *, spill: Path | None = None) -> np.ndarray:
    """The number of the first row of the group of near-duplicates that each text belongs to, int64
    (n,): its own when it is alone. Files wait in the folder `spill`, else in the system's."""
    with Grouper(spill) as grouper:
        source = iter(texts)
        while some := list(islice(source, 4096)):
            grouper.add(some)
        return grouper.finish()


class Grouper:
    """`groups` for texts that come bit by bit: `add` them, then `finish`. Close it (it is a
    context manager), or its files stay."""

    def __init__(self, spill: Path | None = None) -> None:
        self._spill = Spill(spill)
        self._whole = bytearray()

    def __enter__(self) -> Grouper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
        whole = np.frombuffer(self._whole, np.uint64)
        _, first, of_row = np.unique(whole, return_index=True, return_inverse=True)
        parents = first[of_row].astype(np.int64)
        del first, of_row
        _Joining(self._spill, parents).run()
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
        """All keys, one column at a time."""
        rows = self._spill.column("short")
        alone = self._parents[rows] == rows  # equal plain forms are one group already
        for gap in range(GAPS):
            columns = [self._spill.column(f"gap{less}{gap}")[alone] for less in (0, 1)]
            self._table(np.tile(rows[alone], 2), np.concatenate(columns), None)
        rows = self._spill.column("long")
        if not len(rows):
            return
        alone = self._parents[rows] == rows
        rows = rows[alone]
        sketch = self._spill.column("sketch")[alone]
        for band in range(BANDS):
            self._table(rows, self._spill.column(f"band{band}")[alone], sketch)

    def _table(self, rows: np.ndarray, column: np.ndarray, sketch: np.ndarray | None) -> None:
        """Compares rows of equal keys: each with some that follow, and with the first."""
        order = np.argsort(column, kind="stable")
        order = order[_shared(column[order])]
        if not len(order):
            return
        run = np.cumsum(np.diff(column[order], prepend=column[order[0]]) != 0)
        first = np.searchsorted(run, run)
        places = np.arange(len(order))
        for step in (0, *range(1, _WINDOW)):
            earlier = first if step == 0 else np.maximum(places - step, 0)
            pairs = np.flatnonzero((earlier < places) & (run[earlier] == run))
            if step and not len(pairs):
                break
            self._pairs(rows, order[earlier[pairs]], order[pairs], sketch)

    def _pairs(
        self, rows: np.ndarray, one: np.ndarray, other: np.ndarray, sketch: np.ndarray | None
    ) -> None:
        self._flatten()
        apart = self._parents[rows[one]] != self._parents[rows[other]]
        one, other = one[apart], other[apart]
        for begin in range(0, len(one), 65_536):
            a, b = one[begin : begin + 65_536], other[begin : begin + 65_536]
            if sketch is not None:
                near = agreement(sketch[a], sketch[b]) >= _AGREE
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
    for place, row in zip(some.short.tolist(), some.gaps.reshape(len(some.gaps), -1), strict=True):
        found[place].update(row.tolist())
    for place, row in zip(some.long.tolist(), some.bands, strict=True):
        found[place].update(row.tolist())
