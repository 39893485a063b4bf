"""A catalogue of documents and how well each fits a query, by BM25 over its terms.

The weights are those of Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and
Beyond" (2009), with the inverse document frequency of Lucene, which is never negative. They are
worked out when the index is made, so that a query only adds up the lists of its terms (Lù, "BM25S",
2024). A document that is not in the catalogue is scored as if it were in it (`Index.scores`).

``documents.arrow`` (Arrow IPC, read where it lies) holds the texts, ``index.safetensors`` the rest:
`terms` (terms,) uint64 ascending, the hash of each; `indptr` (terms + 1,); and, for the documents
that have a term, ascending, `indices` and `weights`. Both stay on disk until they are looked at.
Nothing in it is code.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines._mapped import mapped
from feilun.errors import CorruptArtifact

__all__ = ["DOCUMENTS", "INDEX", "Documents", "Index", "best", "length", "terms"]

DOCUMENTS = "documents.arrow"
INDEX = "index.safetensors"

K1, B = 1.2, 0.75
"""How soon a repeated term counts no more, and how much a long document is held against it."""

_WHOLE = 3
"""Characters of a word up to which it is a term only as a whole."""
_CHUNK = 16_384  # documents of one record batch, and those that are put into an index at once
_FREQUENT = 32  # a term is frequent that one document in so many has
_SEEN = 5000  # documents by which it is told how high the best ones stand
_LOWER = 0.8  # it is looked again when what is left has become so much less
_TINY = 1e-6
# A character of a script without spaces, or a run of letters and digits.
_ALONE = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ALONE += "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_ALONE}]+|(?:(?![{_ALONE}])\w)+")
_IS_ALONE = re.compile(rf"[{_ALONE}]")


def terms(text: str) -> list[str]:
    """The terms of `text`: words in lower case and Unicode form NFKC, and every four characters
    that stand together in a longer word, its ends included, so that ``sorted`` finds ``sorting``.
    Of scripts without spaces between words (Chinese, Japanese, Thai) every character and every two
    that stand together.

    Questions that find their answer first, with words alone and with both: Perl's FAQ .449, .538;
    Debian's .312, .438; where characters and pairs of them are all there is, .357, .411.
    """
    found: list[str] = []
    for word in _words(text):
        if _IS_ALONE.match(word):
            found += word
            found += [word[place : place + 2] for place in range(len(word) - 1)]
            continue
        found.append(word)
        if len(word) > _WHOLE:
            ends = f"^{word}$"
            found += [f"#{ends[place : place + 4]}" for place in range(len(ends) - 3)]
    return found


def length(text: str) -> int:
    """The words of `text`, each character of a script without spaces counted as one: what its
    reading is charged by."""
    return sum(len(word) if _IS_ALONE.match(word) else 1 for word in _words(text))


def _words(text: str) -> list[str]:
    found: list[str] = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return found


class Documents(Sequence[str]):
    """The texts of a catalogue; they stay on disk until they are asked for."""

    def __init__(self, file: Path) -> None:
        import pyarrow as pa

        try:
            self._map = pa.memory_map(str(file))
            table = pa.ipc.open_file(self._map).read_all()
            self._column: Any = table.column("text")
        except (OSError, KeyError, pa.ArrowException) as error:
            raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return self._column[place.start : place.stop : place.step].to_pylist()
        return self._column[place].as_py()

    @staticmethod
    def write(file: Path, texts: Sequence[str]) -> None:
        """Writes `texts` in their order."""
        import pyarrow as pa

        schema = pa.schema([("text", pa.large_string())])
        with pa.OSFile(str(file), "wb") as raw, pa.ipc.new_file(raw, schema) as out:
            for start in range(0, len(texts), _CHUNK):
                part = pa.array(texts[start : start + _CHUNK], pa.large_string())
                out.write_batch(pa.record_batch([part], schema=schema))


class Index:
    """BM25 over a catalogue of `size` documents."""

    def __init__(self, size: int, mean_length: float, tensors: dict[str, np.ndarray]) -> None:
        self.size = size
        self._mean_length = mean_length
        self._terms, self._indptr = tensors["terms"], tensors["indptr"]
        self._indices, self._weights = tensors["indices"], tensors["weights"]

    @classmethod
    def of(cls, documents: Iterable[str]) -> Index:
        """The index of `documents`."""
        numbers: dict[str, int] = {}
        column, count, lengths = array("i"), array("i"), array("i")
        distinct = array("i")
        for document in documents:
            found = Counter(terms(document))
            lengths.append(found.total())
            distinct.append(len(found))
            for term, times in found.items():
                column.append(numbers.setdefault(term, len(numbers)))
                count.append(times)
        size = len(lengths)
        long = np.frombuffer(lengths, np.int32)
        mean = float(long.mean()) if size else 0.0
        hashes = np.fromiter(map(_hash, numbers), np.uint64, len(numbers))
        order = np.argsort(hashes)
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        columns, counts = np.frombuffer(column, np.int32), np.frombuffer(count, np.int32)
        ends = np.concatenate(([0], np.cumsum(np.frombuffer(distinct, np.int32), dtype=np.int64)))
        having = np.bincount(columns, minlength=len(order))[order]
        rare = _rarity(having, size)
        indptr = np.concatenate(([0], np.cumsum(having))).astype(np.int64)
        indices, weights = np.empty(len(columns), np.int32), np.empty(len(columns), np.float32)
        free = indptr[:-1].copy()  # where the next document of each term goes
        for start in range(0, size, _CHUNK):
            begin, end = int(ends[start]), int(ends[min(size, start + _CHUNK)])
            rows = np.repeat(np.arange(start, min(size, start + _CHUNK), dtype=np.int32),
                             np.diff(ends[start : start + _CHUNK + 1]))  # fmt: skip
            of_term = place[columns[begin:end]]
            by_term = np.argsort(of_term, kind="stable")
            sorted_terms, rows = of_term[by_term], rows[by_term]
            new = np.diff(sorted_terms, prepend=-1) != 0
            first = np.flatnonzero(new)
            rank = np.arange(len(sorted_terms)) - np.repeat(first, np.diff([*first, end - begin]))
            to = free[sorted_terms] + rank
            indices[to] = rows
            saturated = _saturated(counts[begin:end][by_term], long[rows], mean)
            weights[to] = saturated * rare[sorted_terms]
            free[sorted_terms[new]] += np.diff([*first, end - begin])
        tensors: dict[str, np.ndarray] = {
            "terms": hashes[order],
            "indptr": indptr,
            "indices": indices,
            "weights": weights,
        }
        return cls(size, mean, tensors)

    @classmethod
    def read(cls, folder: Path) -> Index:
        """The index in `folder`. Raises `CorruptArtifact` where there is none."""
        file = folder / INDEX
        try:
            tensors = mapped(file)
            size, mean = (float(tensors[name][0]) for name in ("size", "mean_length"))
            return cls(int(size), mean, tensors)
        except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
            raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None

    def write(self, folder: Path) -> None:
        """Writes what `read` reads."""
        from safetensors.numpy import save_file

        tensors = {
            "terms": self._terms,
            "indptr": self._indptr,
            "indices": self._indices,
            "weights": self._weights,
            "size": np.array([self.size], np.int64),
            "mean_length": np.array([self._mean_length], np.float64),
        }
        save_file(tensors, folder / INDEX)

    def search(self, query: Sequence[str]) -> np.ndarray:
        """The score of every document for the terms of a query, as `scores` gives it, float32
        (documents,)."""
        found = np.zeros(self.size, np.float32)
        highest = 0.0
        for term, times in Counter(query).items():
            begin, end = self._list(term)
            highest += times * self._rarity_of(end - begin)
            found[self._indices[begin:end]] += times * self._weights[begin:end]
        return found / np.float32(highest) if highest else found

    def nearest(
        self,
        query: Sequence[str],
        most: int,
        base: np.ndarray | None = None,
        share: float = 1.0,
        least: float = 0.0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The `most` documents with the highest scores above `least`, the highest first, and these
        scores: `share` of what `search` gives, added to `base` (documents,) where there is one.

        Terms are gone through from the rarest to the most frequent. As soon as what is left can
        lift no other document among the best, frequent terms are looked up for the documents that
        can still be (MaxScore: Turtle and Flood, 1995, "Query evaluation: strategies and
        optimizations").
        """
        lists, highest = [], 0.0
        for term, times in Counter(query).items():
            begin, end = self._list(term)
            bound = times * self._rarity_of(end - begin)
            highest += bound
            if end > begin:
                lists.append((end - begin, begin, end, times, bound))
        lists.sort()
        scale = share / highest if highest else 0.0
        scores = np.zeros(self.size, np.float32) if base is None else np.array(base, np.float32)
        left = sum(bound for *_, bound in lists) * scale
        some = [] if base is None else [_high(scores)]
        looked, seen = np.inf, 0
        able: np.ndarray | None = None
        for count, begin, end, times, bound in lists:
            places = self._indices[begin:end]
            if able is None and count > self.size // _FREQUENT and left < _LOWER * looked:
                some = [np.unique(np.concatenate(some))] if some else []
                able, looked = self._able(scores, some, most, left), left
            if able is None:
                scores[places] += np.float32(times * scale) * self._weights[begin:end]
                if seen < _SEEN:
                    some.append(places[:_SEEN])
                    seen += len(some[-1])
            else:
                found = np.minimum(np.searchsorted(places, able), count - 1)
                hit = places[found] == able
                added = self._weights[begin:end][found[hit]]
                scores[able[hit]] += np.float32(times * scale) * added
            left -= bound * scale
        if able is None:
            chosen = best(scores, most, least)
            return chosen, scores[chosen]
        chosen = able[best(scores[able], most, least)]
        return chosen, scores[chosen]

    def _able(
        self, scores: np.ndarray, some: Sequence[np.ndarray], most: int, left: float
    ) -> np.ndarray | None:
        """The documents that can still be among the `most` best when `left` is the most that any
        can gain; None where these are too many to look up. `some` have rare terms: what the best
        of them have is the least that is needed."""
        found = scores[some[0]] if some else scores[:0]
        if len(found) < most:
            return None
        border = float(np.partition(found, len(found) - most)[len(found) - most])
        able = np.flatnonzero(scores >= border - left - _TINY).astype(np.int32)
        return able if len(able) <= self.size // _FREQUENT else None

    def scores(self, query: Sequence[str], documents: Iterable[Sequence[str]]) -> np.ndarray:
        """The score of any documents, given as terms: 0 without a common term, below 1 however
        often the document has all terms of the query; float32 (documents,)."""
        wanted = {
            term: times * self._rarity_of(-int(np.subtract(*self._list(term))))
            for term, times in Counter(query).items()
        }
        highest = sum(wanted.values())
        found = []
        for document in documents:
            counts = Counter(document)
            long = np.array([counts.total()])
            found.append(
                sum(
                    weight * float(_saturated(np.array([counts[term]]), long, self._mean)[0])
                    for term, weight in wanted.items()
                    if counts[term]
                )
            )
        return np.array(found, np.float32) / np.float32(highest or 1.0)

    def coverage(self, query: Sequence[str], documents: Iterable[Sequence[str]]) -> np.ndarray:
        """The share of a query's terms, weighed by how rare they are, that each of any documents
        has, float32 (documents,); 0 for a query without terms."""
        wanted = {
            term: times * self._rarity_of(-int(np.subtract(*self._list(term))))
            for term, times in Counter(query).items()
        }
        highest = sum(wanted.values()) or 1.0
        found = [
            sum(weight for term, weight in wanted.items() if term in having)
            for having in map(frozenset, documents)
        ]
        return np.array(found, np.float32) / np.float32(highest)

    @property
    def _mean(self) -> float:
        return self._mean_length or 1.0

    def _list(self, term: str) -> tuple[int, int]:
        """Where the documents of `term` begin and end; nothing for an unknown one."""
        wanted = np.uint64(_hash(term))
        place = int(np.searchsorted(self._terms, wanted))
        if place == len(self._terms) or self._terms[place] != wanted:
            return 0, 0
        return int(self._indptr[place]), int(self._indptr[place + 1])

    def _rarity_of(self, having: int) -> float:
        return float(_rarity(np.array([having]), self.size)[0])


def best(scores: np.ndarray, most: int, least: float = 0.0) -> np.ndarray:
    """The places of the `most` highest scores above `least`, the highest first; among equal ones
    the earliest."""
    places = np.flatnonzero(scores > least)
    if len(places) > most:
        found = scores[places]
        border = np.partition(found, len(found) - most)[len(found) - most]
        places = places[found >= border]
    order: np.ndarray = np.argsort(-scores[places], kind="stable")[:most]
    return np.asarray(places[order])


def _high(scores: np.ndarray) -> np.ndarray:
    """The places of some of the highest `scores`, by a look at a part of them."""
    part = scores[:: max(1, len(scores) // 8192)]
    if len(part) < 8:
        return np.zeros(0, np.int32)
    border = np.partition(part, len(part) - 4)[len(part) - 4]
    return np.flatnonzero(scores >= border)[:_SEEN].astype(np.int32)


def _saturated(count: np.ndarray, length: np.ndarray, mean: float) -> np.ndarray:
    """What a term counts that a document of this length has so often: 0 to 1."""
    norm = K1 * (1 - B + B * length / (mean or 1.0))
    return np.asarray(count / (count + norm))


def _rarity(having: np.ndarray, size: int) -> np.ndarray:
    """The inverse document frequency of terms that so many of `size` documents have."""
    return np.asarray(np.log1p((size - having + 0.5) / (having + 0.5)))


def _hash(term: str) -> int:
    digest = blake2b(term.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
