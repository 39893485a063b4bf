"""Documents that language models learn: how long texts are parted, which texts are left out, and
what is hidden of a document to be predicted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import numpy as np

from feilun.modalities.pieces import words_of

__all__ = [
    "LANGUAGES",
    "LONGEST",
    "MASKED",
    "SPAN",
    "Objective",
    "hidden",
    "joined",
    "parted",
    "script",
]

Objective = Literal["causal", "masked", "spans"]
LONGEST = 100_000
"""Characters of a document; longer texts become several, parted at a paragraph, line or space."""
MASKED = 0.15
"""Share of the words that are hidden (Devlin et al., 2019, BERT; Raffel et al., 2020, T5)."""
SPAN = 3
"""Words of a hidden span, where spans are hidden (Raffel et al., 2020)."""

_GRAM = 10  # characters
_SCRIPTS = {
    "zh": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]"),
    "ja": re.compile("[\u3040-\u30ff]"),
    "ko": re.compile("[\u1100-\u11ff\uac00-\ud7af]"),
    "ru": re.compile("[\u0400-\u052f]"),
    "ar": re.compile("[\u0600-\u06ff]"),
    "en": re.compile("[A-Za-z]"),
}
LANGUAGES = tuple(_SCRIPTS)
"""What a document can be told to be written in."""
_DENSE = frozenset({"zh", "ja", "ko"})
_FUNCTION = frozenset({
    "the", "of", "and", "to", "in", "a", "is", "that", "for", "it", "as", "was", "with", "be",
    "by", "on", "not", "he", "i", "this", "are", "or", "his", "from", "at", "which", "but", "have",
    "an", "had", "they", "you", "were", "her", "she", "there", "been", "their", "has", "will",
    "my", "we", "me", "your", "so",
})  # fmt: skip
_WORD = re.compile("[A-Za-z]+")
_HEAD = 2000
_PARTINGS = ("\n\n", "\n", "。", ". ", " ")


def parted(text: str) -> list[str]:
    """`text` as documents of `LONGEST` characters at most."""
    found = []
    while len(text) > LONGEST:
        cut = LONGEST
        for sign in _PARTINGS:
            place = text.rfind(sign, LONGEST // 2, LONGEST)
            if place > 0:
                cut = place + len(sign)
                break
        found.append(text[:cut].strip())
        text = text[cut:]
    found.append(text.strip())
    return [one for one in found if one]


def script(text: str) -> str:
    """The language that the beginning of `text` is written in, of `LANGUAGES`; ``other`` where it
    is none of them. Languages are told by their script, and English from others that are written
    in Latin letters by its most frequent words: one in twelve."""
    head = text[:_HEAD]
    counts = {
        name: len(one.findall(head)) * (3 if name in _DENSE else 1)
        for name, one in _SCRIPTS.items()
    }
    if counts["ja"] * 10 >= counts["zh"] + counts["ja"] > 0 and counts["ja"]:
        counts["ja"] += counts.pop("zh")
    best = max(counts, key=lambda name: counts[name])
    if not counts[best]:
        return "other"
    if best == "en":
        words = [word.lower() for word in _WORD.findall(head)]
        known = sum(word in _FUNCTION for word in words)
        return "en" if known * 12 >= len(words) or len(words) < 8 else "other"
    return best


def repeated_lines(text: str) -> float:
    """The share of characters in lines that stood above already."""
    seen: set[str] = set()
    again = 0
    for line in text.split("\n"):
        line = line.strip()
        if line in seen:
            again += len(line)
        seen.add(line)
    return again / max(1, len(text))


def repeated_grams(text: str) -> float:
    """The share of runs of ten characters that stand in the beginning of `text` more than once."""
    head = text[: 10 * _HEAD]
    runs = Counter(head[place : place + _GRAM] for place in range(len(head) - _GRAM + 1))
    total = runs.total()
    return (total - len(runs)) / total if total else 0.0


def letters(text: str) -> float:
    """The share of letters among the characters that are no space."""
    head = "".join(text[: 10 * _HEAD].split())
    return sum(map(str.isalpha, head)) / max(1, len(head))


def joined(item: str, target: str) -> str:
    """The document that a text and what should have followed it make."""
    if not item or not target:
        return item + target
    close = item[-1].isspace() or not (item[-1].isascii() and target[0].isascii())
    return item + target if close or not target[0].isalnum() else f"{item} {target}"


def hidden(text: str, objective: Objective) -> list[tuple[int, int]]:
    """First place and end of what a model has to predict of `text`: all of it for ``causal``; of
    the words (of Chinese, those of a dictionary) every seventh or so for ``masked``, and as many in
    runs of three for ``spans``. The same for the same text, whatever the model and its tokenizer.
    """
    if objective == "causal":
        return [(0, len(text))] if text else []
    words = words_of(text)
    if not words:
        return []
    lots = np.random.default_rng(int.from_bytes(blake2b(text.encode(), digest_size=8).digest()))
    return chosen(words, objective, lots)


def chosen(
    words: Sequence[tuple[int, int]], objective: Objective, lots: np.random.Generator
) -> list[tuple[int, int]]:
    """Those of `words` that `lots` hide, neighbouring ones of a span as one place."""
    count = max(1, round(MASKED * len(words)))
    if objective == "masked":
        places = np.sort(lots.choice(len(words), count, replace=False)).tolist()
        return [words[place] for place in places]
    spans = max(1, round(count / SPAN))
    # Spans of equal length, apart from each other: one word at least stands between.
    room = len(words) - spans * (SPAN + 1) + 1
    if room < 1:
        first = int(lots.integers(max(1, len(words) - count + 1)))
        return [(words[first][0], words[min(first + count, len(words)) - 1][1])]
    offsets = np.sort(lots.integers(0, room + 1, spans))
    starts = [int(offset) + place * (SPAN + 1) for place, offset in enumerate(offsets)]
    return [(words[start][0], words[start + SPAN - 1][1]) for start in starts]
