"""Scores of translations: chrF, BLEU, exact matches, placeholders kept, and how long they are.

BLEU is that of Papineni et al. (2002), over the n-grams of all rows together, n from 1 to 4, with
the brevity penalty. Tokens are those of WMT's mteval-v13a; in rows with Chinese or Japanese every
character of these scripts is a token of its own besides (sacrebleu's ``zh``). An n without any
match counts as half a match, the next one a quarter, as sacrebleu's smoothing ``exp`` has it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from feilun.metrics.intervals import wilson
from feilun.metrics.placeholders import placeholders
from feilun.metrics.scores import Score
from feilun.metrics.texts import Texts

__all__ = ["Translations", "bleu_tokens"]

_ORDER = 4

# What stands alone: signs and characters of East Asia, full-width forms, typographic signs.
_ALONE = "[\u2001-\u2a6d\u2e80-\u303f\u3100-\u312f\u31a0-\u31ef\u3200-\u4dbf\u4e00-\u9fff"
_ALONE += "\uf900-\ufad9\ufe10-\ufe1f\ufe30-\ufe4f\uff00-\uffef]"
_APART = re.compile(f"({_ALONE})")
_EAST = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_SIGN = re.compile(r"([{-~\[-` -&(-+:-@/])")
_POINT = (
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))


class Translations(Texts):
    """True translations beside written ones. All scores are from 0 to 1.

    ``placeholders_kept`` is the share of answered rows with placeholders whose translation has just
    those of the true one. ``length_ratio`` is the total length of the answered rows' translations
    beside the true ones', in characters, the shorter by the longer.
    """

    higher_is_better: ClassVar = {
        "chrf": True,
        "bleu": True,
        "exact_match": True,
        "placeholders_kept": True,
        "length_ratio": True,
        "answered": True,
    }

    def __init__(
        self, truth: Sequence[str], written: Sequence[str], answered: Sequence[bool]
    ) -> None:
        super().__init__(truth, written, answered)
        pairs = list(zip(truth, written, answered, strict=True))
        self._grams = np.array([_counts(true, said) for true, said, _ in pairs], np.float64)
        held = [(placeholders(true), placeholders(said), yes) for true, said, yes in pairs]
        self._has = np.array([bool(yes and (true or said)) for true, said, yes in held])
        self._kept = self._has & np.array([true == said for true, said, _ in held])
        self._long = np.array([(len(true), len(said)) for true, said, _ in pairs], np.float64)
        self._long *= self._answered[:, None]

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        found = super().replicates(weights)
        true, said = (weights @ self._long).T
        found["bleu"] = _bleu(weights @ self._grams)
        found["placeholders_kept"] = _share(weights @ self._kept, weights @ self._has)
        found["length_ratio"] = _share(np.minimum(true, said), np.maximum(true, said))
        return {name: found[name] for name in self.higher_is_better}

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        part = super().take(rows)
        part._grams, part._long = self._grams[rows], self._long[rows]
        part._has, part._kept = self._has[rows], self._kept[rows]
        return part

    def interval(self, metric: str, value: float, drawn: np.ndarray, confidence: float) -> Score:
        """Wilson's also for the share of rows that keep their placeholders."""
        if metric == "placeholders_kept":
            return wilson(int(self._kept.sum()), int(self._has.sum()), confidence)
        return super().interval(metric, value, drawn, confidence)


def bleu_tokens(text: str, east: bool) -> list[str]:
    """The tokens of `text`; `east` sets characters of Chinese and Japanese apart."""
    if east:
        text = _APART.sub(r" \1 ", text.strip())
    else:
        text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
        for entity, sign in _ENTITIES:
            text = text.replace(entity, sign)
        text = f" {text} "
    text = _SIGN.sub(r" \1 ", text)
    for pattern, apart in _POINT:
        text = pattern.sub(apart, text)
    return text.split()


def _counts(truth: str, written: str) -> list[int]:
    """Common n-grams for each n, n-grams written for each n, tokens of both."""
    east = _EAST.search(truth) is not None or _EAST.search(written) is not None
    true, said = bleu_tokens(truth, east), bleu_tokens(written, east)
    common, all_said = [], []
    for n in range(1, _ORDER + 1):
        one, other = (
            Counter(tuple(found[i : i + n]) for i in range(len(found) - n + 1))
            for found in (true, said)
        )
        common.append((one & other).total())
        all_said.append(other.total())
    return [*common, *all_said, len(true), len(said)]


def _bleu(sums: np.ndarray) -> np.ndarray:
    """Of sums (draws, 10), as `_counts` gives them for a row: 0 to 1. No n-gram of some length at
    all is a score of 0, as in sacrebleu."""
    common, all_said = sums[:, :_ORDER], sums[:, _ORDER : 2 * _ORDER]
    true, said = sums[:, -2], sums[:, -1]
    missing = common == 0
    smooth = np.power(2.0, np.cumsum(missing, axis=1))
    matched = np.where(missing, 1 / smooth, common)
    whole = (all_said > 0).all(axis=1) & (common[:, 0] > 0)
    logs = np.log(matched / np.maximum(all_said, 1e-12)).mean(axis=1)
    brevity = np.minimum(0.0, 1 - true / np.maximum(said, 1e-12))
    score: np.ndarray = np.where(whole, np.exp(np.minimum(logs, 0.0) + brevity), 0.0)
    return score


def _share(some: np.ndarray, of: np.ndarray) -> np.ndarray:
    """NaN where there are none."""
    share: np.ndarray = np.divide(some, of, out=np.full(len(of), np.nan), where=of > 0)
    return share
