"""Scores of summaries: ROUGE-1, ROUGE-2 and ROUGE-L (Lin, 2004, "ROUGE: A Package for Automatic
Evaluation of Summaries"), each the F1 of a row, and their mean.

A token is a word in lower case, of letters and digits, without stemming; of scripts without spaces
between words (Chinese, Japanese, Thai) it is a character. The usual tools drop everything but a to
z, which gives every Chinese summary a 0.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from feilun.metrics.texts import Texts

__all__ = ["Summaries", "rouge", "rouge_tokens"]

_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf"
_ALONE += "\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{_ALONE}]|(?:(?![{_ALONE}])[^\W_])+")
_MOST = 4000
"""Tokens of a text beyond which nothing is compared."""


class Summaries(Texts):
    """True summaries beside written ones. All scores are from 0 to 1; ``length_ratio`` is the
    total length of the answered rows' summaries beside the true ones', in tokens, the shorter by
    the longer."""

    higher_is_better: ClassVar = {
        "rouge_l": True,
        "rouge1": True,
        "rouge2": True,
        "chrf": True,
        "length_ratio": True,
        "answered": True,
    }

    def __init__(
        self, truth: Sequence[str], written: Sequence[str], answered: Sequence[bool]
    ) -> None:
        super().__init__(truth, written, answered)
        pairs = [
            (rouge_tokens(true), rouge_tokens(said))
            for true, said in zip(truth, written, strict=True)
        ]
        self._rouge = np.array([rouge(true, said) for true, said in pairs])
        self._long = np.array([(len(true), len(said)) for true, said in pairs], np.float64)
        self._long *= self._answered[:, None]

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        found = super().replicates(weights)
        one, two, longest = (weights @ self._rouge / weights.sum(axis=1)[:, None]).T
        found |= {"rouge1": one, "rouge2": two, "rouge_l": longest}
        true, said = (weights @ self._long).T
        whole = np.maximum(true, said)
        none = np.full(len(whole), np.nan)
        found["length_ratio"] = np.divide(np.minimum(true, said), whole, out=none, where=whole > 0)
        return {name: found[name] for name in self.higher_is_better}

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        part = super().take(rows)
        part._rouge, part._long = self._rouge[rows], self._long[rows]
        return part

    @property
    def each(self) -> np.ndarray:
        """ROUGE-L of each row: float (rows,)."""
        each: np.ndarray = self._rouge[:, 2]
        return each


def rouge_tokens(text: str) -> list[str]:
    """The tokens of `text`."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())[:_MOST]


def rouge(truth: Sequence[str], written: Sequence[str]) -> tuple[float, float, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L of tokens; 0 where either side has no n-gram."""
    from rapidfuzz.distance import LCSseq

    found = []
    for n in (1, 2):
        true, said = (
            Counter(tuple(side[i : i + n]) for i in range(len(side) - n + 1))
            for side in (truth, written)
        )
        found.append(_f1((true & said).total(), true.total(), said.total()))
    common = LCSseq.similarity(truth, written)
    return found[0], found[1], _f1(common, len(truth), len(written))


def _f1(common: int, true: int, said: int) -> float:
    """The harmonic mean of precision and recall."""
    return 2 * common / (true + said) if common else 0.0
