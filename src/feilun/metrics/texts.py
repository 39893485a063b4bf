"""Scores of written answers: exact matches and chrF, the F-score of character n-grams (Popović,
2015, "chrF: character n-gram F-score for automatic MT evaluation").

Characters need no tokenizer, so Chinese counts as English does.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from feilun.metrics.intervals import wilson
from feilun.metrics.json_texts import as_object, equal
from feilun.metrics.measured import Measured
from feilun.metrics.scores import Score, percentiles

__all__ = ["Texts", "alike", "chrf"]

_ORDER = 6
_BETA = 2.0
_SPACE = re.compile(r"\s+")


class Texts(Measured):
    """True texts beside written ones, of which `answered` were really answers. Both scores are from
    0 to 1. chrF takes the n-grams of all rows together, n from 1 to 6, space left out, and weighs
    recall twice as much as precision. Of a true text that is a JSON object nothing is right but an
    equal one: with a wrong figure in it, it is wrong however many characters are right.
    Raises `ValueError` for no rows and different lengths."""

    higher_is_better: ClassVar = {"chrf": True, "exact_match": True, "answered": True}

    def __init__(
        self, truth: Sequence[str], written: Sequence[str], answered: Sequence[bool]
    ) -> None:
        if not len(truth) or len({len(truth), len(written), len(answered)}) > 1:
            raise ValueError(f"{len(truth)} true texts, {len(written)} written ones")
        self.rows = len(truth)
        pairs = list(zip(truth, written, strict=True))
        self._exact = np.array([alike(true, said) for true, said in pairs])
        self._answered = np.array(answered, dtype=bool)
        self._sums = np.array([_judged(true, said) for true, said in pairs], dtype=np.float64)

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        total = weights.sum(axis=1)
        return {
            "chrf": _f_score(weights @ self._sums),
            "exact_match": weights @ self._exact.astype(np.float64) / total,
            "answered": weights @ self._answered.astype(np.float64) / total,
        }

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        part = object.__new__(type(self))
        part.rows = int(np.count_nonzero(rows))
        part._exact, part._answered = self._exact[rows], self._answered[rows]
        part._sums = self._sums[rows]
        return part

    def hits(self, metric: str) -> np.ndarray | None:
        """The rows that are right, and those that were answered."""
        return {"exact_match": self._exact, "answered": self._answered}.get(metric)

    def interval(self, metric: str, value: float, drawn: np.ndarray, confidence: float) -> Score:
        """Wilson's for shares of rows."""
        hits = self.hits(metric)
        if hits is None:
            return percentiles(value, drawn, confidence)
        return wilson(int(hits.sum()), self.rows, confidence)

    @property
    def each(self) -> np.ndarray:
        """chrF of each row by itself: float (rows,)."""
        return _f_score(self._sums)


def alike(one: str, other: str) -> bool:
    """Whether two texts are the same but for case, width and space; JSON objects, but for their
    layout."""
    left, right = as_object(one), as_object(other)
    if left is not None or right is not None:
        return left is not None and right is not None and equal(left, right)
    return _plain(one) == _plain(other)


def chrf(truth: str, written: str) -> float:
    """chrF of one text."""
    return float(_f_score(np.array([_judged(truth, written)], np.float64))[0])


def _plain(text: str) -> str:
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _judged(truth: str, written: str) -> list[int]:
    """As `_counts`; of a true JSON object all is right or nothing."""
    if as_object(truth) is None:
        return _counts(truth, written)
    if alike(truth, written):
        return _counts(truth, truth)
    found = _counts(truth, written)
    found[::3] = [0] * _ORDER
    return found


def _counts(truth: str, written: str) -> list[int]:
    """For each n: common n-grams, those of the truth, those written."""
    one, other = _SPACE.sub("", truth), _SPACE.sub("", written)
    found = []
    for n in range(1, _ORDER + 1):
        true, said = (Counter(t[i : i + n] for i in range(len(t) - n + 1)) for t in (one, other))
        found += [(true & said).total(), true.total(), said.total()]
    return found


def _f_score(sums: np.ndarray) -> np.ndarray:
    """Of sums (rows, 3 n): the mean precision and recall over those n of which both sides have
    n-grams, then their F-score; 0 where there are none."""
    common, true, said = (sums[:, part::3] for part in range(3))
    known = (true > 0) & (said > 0)
    count = np.maximum(known.sum(axis=1), 1)
    precision = np.divide(common, said, where=known, out=np.zeros_like(common)).sum(axis=1) / count
    recall = np.divide(common, true, where=known, out=np.zeros_like(common)).sum(axis=1) / count
    weight = _BETA**2
    whole = np.maximum(weight * precision + recall, 1e-12)
    score: np.ndarray = (1 + weight) * precision * recall / whole
    return score
