"""Scores of answers to questions, and of the passages that they are taken from.

Exact match and F1 are those of SQuAD (Rajpurkar et al., 2016): case, punctuation and English
articles do not count, and F1 is that of the words which two answers share. Of scripts without
spaces each character is a word, as CMRC 2018 counts (Cui et al., 2019).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np

from feilun.metrics.intervals import wilson
from feilun.metrics.measured import Measured
from feilun.metrics.scores import Score, percentiles

__all__ = ["AT", "Answers", "Row", "coverage", "exact", "f1", "holds", "words"]

AT = 5
"""Passages among which the right one is looked for."""

_ALONE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff"
)
_WORD = re.compile(rf"[{_ALONE}]|(?:(?![{_ALONE}])\w)+(?:[.,](?=\d)\d+)*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ARTICLES = frozenset(("a", "an", "the"))


class Row(NamedTuple):
    """What one answer was worth: `f1` and whether it was `exact`, whether it `contains` a right
    answer whole, the place of the first right passage (0 where none was found, None where none is
    known), whether it was `answered` at all, and whether its citation supports it."""

    f1: float
    exact: bool
    contains: bool
    place: int | None
    answered: bool
    supported: bool


class Answers(Measured):
    """One `Row` for each question. Recall counts the questions whose right passage is known, the
    share that is `supported` those that were answered. Raises `ValueError` for no rows."""

    higher_is_better: ClassVar = {
        "f1": True,
        "exact_match": True,
        "contains": True,
        "recall_at_1": True,
        "recall_at_5": True,
        "supported": True,
        "answered": True,
    }

    def __init__(self, rows: Sequence[Row]) -> None:
        if not len(rows):
            raise ValueError("no rows")
        self.each = list(rows)
        self.rows = len(rows)
        known = [one.place is not None for one in rows]
        answered = [one.answered for one in rows]
        every = [True] * self.rows
        places = [one.place or 0 for one in rows]
        columns: dict[str, tuple[list[float], list[bool]]] = {
            "f1": ([one.f1 for one in rows], every),
            "exact_match": ([one.exact for one in rows], every),
            "contains": ([one.contains for one in rows], every),
            "recall_at_1": ([place == 1 for place in places], known),
            "recall_at_5": ([0 < place <= AT for place in places], known),
            "supported": ([one.supported for one in rows], answered),
            "answered": ([float(one) for one in answered], every),
        }
        self._counts = {name: np.array(of, bool) for name, (_, of) in columns.items()}
        self._values = {
            name: np.array(found, np.float64) * self._counts[name]
            for name, (found, _) in columns.items()
        }

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        found = {}
        for name, values in self._values.items():
            total = weights @ self._counts[name].astype(np.float64)
            whole = np.full(len(weights), np.nan)
            found[name] = np.divide(weights @ values, total, out=whole, where=total > 0)
        return found

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        return type(self)([self.each[place] for place in np.flatnonzero(rows).tolist()])

    def hits(self, metric: str) -> np.ndarray | None:
        """The rows that are right, where all of them count."""
        if metric in ("exact_match", "contains", "answered"):
            return np.asarray(self._values[metric] > 0)
        return None

    def interval(self, metric: str, value: float, drawn: np.ndarray, confidence: float) -> Score:
        """Wilson's for shares of rows."""
        if metric == "f1":
            return percentiles(value, drawn, confidence)
        right = int(self._values[metric].sum())
        return wilson(right, int(self._counts[metric].sum()), confidence)


def words(text: str) -> list[str]:
    """The words of a text in the form in which they are compared."""
    plain = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).casefold())
    return [word for word in _WORD.findall(plain) if word not in _ARTICLES]


def exact(right: str, given: str) -> bool:
    """Whether two answers are the same but for case, punctuation and articles."""
    return words(right) == words(given)


def f1(right: str, given: str) -> float:
    """The F-score of the words that two answers share."""
    one, other = Counter(words(right)), Counter(words(given))
    common = (one & other).total()
    if not one or not other:
        return float(one == other)
    return 2 * common / (one.total() + other.total())


def holds(text: str, answer: str) -> bool:
    """Whether the words of an answer stand in a text one after the other."""
    wanted = words(answer)
    return bool(wanted) and f" {' '.join(wanted)} " in f" {' '.join(words(text))} "


def coverage(text: str, answer: str) -> float:
    """The share of an answer's words that stand in a text."""
    wanted = Counter(words(answer))
    return (wanted & Counter(words(text))).total() / wanted.total() if wanted else 0.0
