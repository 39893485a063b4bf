"""Which answers are worth a person's time: the model was least sure, and each only once.

Answers of small margin come first. Texts that are nearly the same (one word more, another case,
other punctuation) show up once; so do equal images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from feilun.store.records import Prediction
from feilun.types import Item

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["review_queue"]

SAME = 0.85
"""Cosine similarity of character trigrams from which two texts count as the same."""

_LOOKED_AT = 2000
_BLOCK = 256
_SPACE = re.compile(r"\s+")


def review_queue(predictions: Iterable[Prediction], limit: int = 100) -> list[Prediction]:
    """Up to `limit` answers to look at, the most useful first.

    Takes answers without feedback; those whose input is no longer kept are left out. Of answers to
    nearly the same input the least certain one stands for all. The 2,000 least certain ones are
    compared with one another.
    """
    open_ones = [row for row in predictions if row.stored and not row.purged]
    open_ones.sort(key=_certainty)
    exact: dict[str, Prediction] = {}
    for row in open_ones:
        exact.setdefault(_fingerprint(row.input), row)
        if len(exact) >= _LOOKED_AT:
            break
    return _distinct(list(exact.values()), limit)


def _certainty(row: Prediction) -> float:
    """The margin; without one, the least that the score allows; without either, the end."""
    if row.margin is not None:
        return row.margin
    return 2.0 if row.score is None else 2 * row.score - 1


def _distinct(rows: Sequence[Prediction], limit: int) -> list[Prediction]:
    texts = [_text(row.input) for row in rows]
    if not any(texts):
        return list(rows[:limit])
    vectors = _vectors(texts)
    chosen: list[int] = []
    covered = [False] * len(rows)
    for start in range(0, len(rows), _BLOCK):
        block = range(start, min(start + _BLOCK, len(rows)))
        alike = (vectors[block.start :] @ vectors[block.start : block.stop].T).tocsc()
        for place in block:
            if covered[place]:
                continue
            chosen.append(place)
            if len(chosen) == limit:
                return [rows[at] for at in chosen]
            begin, end = alike.indptr[place - start], alike.indptr[place - start + 1]
            near = alike.data[begin:end] >= SAME
            for other in alike.indices[begin:end][near]:
                covered[start + int(other)] = True
    return [rows[at] for at in chosen]


def _vectors(texts: Sequence[str]) -> csr_matrix:
    """Character trigrams as rows of length one; a text without any is near to nothing."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(
        analyzer="char", ngram_range=(3, 3), n_features=2**18, binary=True, alternate_sign=False
    ).transform(texts)


def _text(item: Item) -> str:
    values = item.values() if isinstance(item, Mapping) else (item,)
    joined = " ".join(value for value in values if isinstance(value, str))
    return _SPACE.sub(" ", joined.casefold()).strip()


def _fingerprint(item: Item) -> str:
    parts = item.items() if isinstance(item, Mapping) else (("", item),)
    digest = sha256()
    for name, value in sorted(parts):
        raw = (
            value
            if isinstance(value, bytes)
            else (_SPACE.sub(" ", str(value).casefold())).encode("utf-8", "surrogatepass")
        )
        digest.update(f"{name}\0{len(raw)}\0".encode() + raw)
    return digest.hexdigest()
