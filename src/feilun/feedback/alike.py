"""Which inputs are nearly the same: character trigrams for texts, equal bytes for everything else.

For the few thousand inputs that wait at a time; rows of a data version are compared elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from feilun.types import Item

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["fingerprint", "neighbours", "text_of", "vectors"]

_SPACE = re.compile(r"\s+")
_BLOCK = 256


def text_of(item: Item) -> str:
    """The words of an item in lower case with single spaces; empty for bytes."""
    values = item.values() if isinstance(item, Mapping) else (item,)
    joined = " ".join(value for value in values if isinstance(value, str))
    return _SPACE.sub(" ", joined.casefold()).strip()


def fingerprint(item: Item) -> str:
    """Equal for items that differ in case and white space alone."""
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


def vectors(texts: Sequence[str]) -> csr_matrix:
    """Character trigrams as rows of length one; a text without any is near to nothing."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(
        analyzer="char", ngram_range=(3, 3), n_features=2**18, binary=True, alternate_sign=False
    ).transform(texts)


def neighbours(texts: Sequence[str], least: float) -> list[list[int]]:
    """For each text the places of the later ones with a cosine similarity of `least` or more."""
    found: list[list[int]] = [[] for _ in texts]
    if not any(texts):
        return found
    rows = vectors(texts)
    for start in range(0, len(texts), _BLOCK):
        stop = min(start + _BLOCK, len(texts))
        alike = (rows[start:] @ rows[start:stop].T).tocsc()
        for place in range(start, stop):
            begin, end = alike.indptr[place - start], alike.indptr[place - start + 1]
            near = alike.indices[begin:end][alike.data[begin:end] >= least] + start
            found[place] = sorted(int(other) for other in near if other > place)
    return found
