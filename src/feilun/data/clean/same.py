"""The steps that look at rows together: which are the same, and of those, which stay.

Rows of the test split always stay; where a training row is nearly one of them, the training row
goes. What a version went through before is not undone by rows that come later: they go, not it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import numpy as np

from feilun.data._contents import GONE, Contents, begins
from feilun.data._gather import Gathered
from feilun.data.splits import SPLITS
from feilun.store.dataset import INPUT

__all__ = ["conflicting", "examples", "folded", "repeated"]

_TEST = SPLITS.index("test")
_ROOM = len(SPLITS)


def folded(gathered: Gathered, kinds: Mapping[str, str]) -> np.ndarray:
    """A number for each row, equal where rows are but for case, width and space: uint64 (rows,)."""
    texts = _texts(gathered, kinds)
    return np.fromiter((_folded(text) for text in texts), np.uint64, len(gathered.rows))


def _texts(gathered: Gathered, kinds: Mapping[str, str]) -> Iterator[str]:
    """The text columns of each row as one text; media count by their hash."""
    columns = [INPUT + name for name in kinds]
    for batch in gathered.batches():
        cells = [batch.column(name).to_pylist() for name in columns]
        if len(cells) == 1:
            yield from map(str, cells[0])
        else:
            yield from ("\n".join(map(str, row)) for row in zip(*cells, strict=True))


def _folded(text: str) -> int:
    plain = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    digest = blake2b(plain.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def conflicting(groups: np.ndarray, contents: Contents, everything: bool) -> np.ndarray:
    """Contents whose set, which `groups` tells, comes with several labels: bool (contents,). Those
    of the test split stay, and unless `everything` is looked at those of the version before."""
    alive = contents.label != GONE
    places = np.flatnonzero(alive)
    of = groups[places]
    order = np.lexsort((contents.label[places], of))
    sets, labels = of[order], contents.label[places][order]
    mixed = np.unique(sets[1:][(sets[1:] == sets[:-1]) & (labels[1:] != labels[:-1])])
    undecided = np.unique(of[contents.label[places] < 0])
    found = np.zeros(len(alive), bool)
    found[places] = np.isin(of, mixed) | np.isin(of, undecided)
    found &= ~_stays(contents, everything)
    return found


def repeated(groups: np.ndarray, contents: Contents, everything: bool) -> np.ndarray:
    """Contents to drop so that one of each set stays, bool (contents,): a test row if there is one,
    else one of the version before, of validation before training, with the label that most of the
    set have, the earliest."""
    places = np.flatnonzero(contents.label >= 0)
    if not len(places):
        return np.zeros(len(contents.label), bool)
    of = groups[places]
    stays = _stays(contents, everything)[places]
    usual = contents.label[places] == _usual(of, contents.label[places])
    rank = np.select(
        [contents.split[places] == _TEST, stays],
        [0, 1],
        2 + 2 * (_ROOM - contents.split[places].astype(np.int64)) + ~usual,
    )
    order = np.lexsort((contents.first[places], rank, of))
    keep = stays.copy()
    keep[order[begins(of[order])]] = True
    drop = np.zeros(len(contents.label), bool)
    drop[places[~keep]] = True
    return drop


def _stays(contents: Contents, everything: bool) -> np.ndarray:
    test = np.asarray(contents.split == _TEST, bool)
    return test if everything else np.logical_or(test, contents.old)


def _usual(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each content the label that most of its set have."""
    of = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    pairs, sizes = np.unique(np.stack([of, labels.astype(np.int64)]), axis=1, return_counts=True)
    order = np.lexsort((-sizes, pairs[0]))
    best = order[begins(pairs[0][order])]
    number = np.searchsorted(pairs[0][best], of)
    return np.asarray(pairs[1][best][number])


def examples(gathered: Gathered, kinds: Mapping[str, str], rows: Sequence[int]) -> dict[int, str]:
    """The texts of a few rows by their numbers."""
    wanted = set(rows)
    if not wanted:
        return {}
    found: dict[int, str] = {}
    for number, text in enumerate(_texts(gathered, kinds)):
        if number in wanted:
            found[number] = text
            if len(found) == len(wanted):
                break
    return found
