"""What happens to texts between people and a model: slips of the keyboard, other widths, scripts.

Slips follow the keyboard: a Latin letter becomes its neighbour, is doubled, lost or changes place;
a Chinese character becomes one that sounds alike, as an input method offers it. The first level of
GB 2312 is sorted by sound, so the character before or after is a homophone in nine cases of ten,
and in most others a near one: no dictionary is needed.

Synonyms and translation there and back are not offered: no kept library ships their data or models
under a clear licence. A task of one's own adds them by extending `TaskBase.disturbances`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from feilun.modalities.noise import Disturbance, by_name
from feilun.types import Item

__all__ = ["disturbances"]

_SLIPS = 0.1  # of words; of Chinese characters half as many
_LOST = 0.1
_TRIES = 8  # of an attack

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_HAN = r"\u3400-\u9fff\uf900-\ufaff"
_SLIPPERY = re.compile(rf"[A-Za-z]{{3,}}|[{_HAN}]")
_PLACES = re.compile(rf"(?<=[^\W_]) (?=[^\W_])|(?<=[{_HAN}])(?=[{_HAN}])")
_WORDS = re.compile(rf"[{_HAN}]|[^\s{_HAN}]+\s*")
_TOKENS = re.compile(rf"[{_HAN}]|[^\s{_HAN}]+")
_CHINESE = re.compile(rf"[{_HAN}]")


@cache
def disturbances() -> Mapping[str, Disturbance]:
    """All changes of texts; ``script`` only where OpenCC is installed (the extra ``train``)."""
    found = [
        Disturbance("typo", _typo, teaches=True),
        Disturbance("case", _case),
        Disturbance("width", _width),
        Disturbance("punctuation", _punctuation, teaches=True),
        Disturbance("spaces", _spaces),
        # "not good" may lose its "not": good enough to learn from, not to judge by.
        Disturbance("words", _words, safe=False, teaches=True),
        Disturbance("slips", _typo, draws=_TRIES),
        Disturbance("swaps", _swaps, draws=_TRIES),
    ]
    if find_spec("opencc") is not None:
        found.insert(3, Disturbance("script", _script))
    return by_name(found)


def _typo(item: Item, draw: np.random.Generator) -> Item:
    """A slip in one word of ten and in one Chinese character of twenty, in one at least."""
    text = str(item)
    words = [found.span() for found in _SLIPPERY.finditer(text)]
    words = [(a, b) for a, b in words if b - a > 1 or text[a] in _homophones()]
    rates = [_SLIPS if b - a > 1 else _SLIPS / 2 for a, b in words]
    hit = _some(draw, np.array(rates))
    parts, end = [], 0
    for place in hit.tolist():
        a, b = words[place]
        parts += [text[end:a], _slip(text[a:b], draw)]
        end = b
    return "".join([*parts, text[end:]])


def _slip(word: str, draw: np.random.Generator) -> str:
    if len(word) == 1:
        return _pick(draw, _homophones()[word])
    # The first letter is the one that people get right.
    place = int(draw.integers(1, len(word)))
    kind = int(draw.integers(4))
    if kind == 0:
        near = _neighbours()[word[place].lower()]
        letter = _pick(draw, near)
        letter = letter.upper() if word[place].isupper() else letter
        return word[:place] + letter + word[place + 1 :]
    if kind == 1:
        return word[:place] + word[place + 1 :]
    place = max(1, place - (kind == 3))
    pair = word[place : place + 2]
    if kind == 2 or pair == pair[::-1]:
        return word[: place + 1] + word[place:]
    return word[:place] + pair[::-1] + word[place + 2 :]


def _case(item: Item, draw: np.random.Generator) -> Item:
    """All capitals; what already is becomes small."""
    text = str(item)
    return text.lower() if text == text.upper() else text.upper()


def _width(item: Item, draw: np.random.Generator) -> Item:
    """Half-width letters, digits and marks full-width, full-width ones half-width."""
    return str(item).translate(_widths())


def _script(item: Item, draw: np.random.Generator) -> Item:
    """Traditional Chinese simplified, simplified Chinese traditional."""
    text = str(item)
    if not _CHINESE.search(text):
        return text
    simple = str(_converter("t2s").convert(text))
    return simple if simple != text else str(_converter("s2t").convert(text))


def _punctuation(item: Item, draw: np.random.Generator) -> Item:
    """No punctuation, but for what stands inside a word or a number."""
    text = str(item)
    return _marks().sub("", text) or text


def _spaces(item: Item, draw: np.random.Generator) -> Item:
    """One space of ten between words lost; in one of ten places between Chinese characters a
    space."""
    text = str(item)
    found = [one.span() for one in _PLACES.finditer(text)]
    parts, end = [], 0
    for place in _some(draw, np.full(len(found), _LOST)).tolist():
        a, b = found[place]
        parts += [text[end:a], " " if a == b else ""]
        end = b
    return "".join([*parts, text[end:]])


def _words(item: Item, draw: np.random.Generator) -> Item:
    """One word of ten lost, in Chinese one character of ten; a text of one word stays."""
    text = str(item)
    words = _WORDS.findall(text)
    if len(words) < 2:
        return text
    lost = set(_some(draw, np.full(len(words), _LOST)).tolist())
    return "".join(word for place, word in enumerate(words) if place not in lost).strip() or text


def _swaps(item: Item, draw: np.random.Generator) -> Item:
    """One word in ten changes place with the next, in Chinese one character in ten."""
    text = str(item)
    found = [one.span() for one in _TOKENS.finditer(text)]
    parts = [text[a:b] for a, b in found]
    for place in _some(draw, np.full(max(0, len(found) - 1), _LOST)).tolist():
        parts[place : place + 2] = parts[place + 1], parts[place]
    gaps = [text[end:begin] for (_, end), (begin, _) in pairwise([(0, 0), *found])]
    tail = text[found[-1][1] :] if found else text
    return "".join(gap + part for gap, part in zip(gaps, parts, strict=True)) + tail


def _some(draw: np.random.Generator, rates: np.ndarray) -> np.ndarray:
    """Places that are hit, each with its rate, and one at least where there are any."""
    if not len(rates):
        return np.zeros(0, np.int64)
    hit = np.flatnonzero(draw.random(len(rates)) < rates)
    return hit if len(hit) else draw.integers(0, len(rates), 1)


def _pick(draw: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(draw.integers(len(options)))]


@cache
def _neighbours() -> Mapping[str, str]:
    """The keys beside each key of a QWERTY keyboard."""
    near: dict[str, str] = {}
    for row, keys in enumerate(_KEYS):
        for place, key in enumerate(keys):
            beside = keys[max(0, place - 1) : place] + keys[place + 1 : place + 2]
            for other in (row - 1, row + 1):
                if 0 <= other < len(_KEYS):
                    beside += _KEYS[other][max(0, place - 1) : place + 1]
            near[key] = beside
    return near


@cache
def _homophones() -> Mapping[str, str]:
    """The characters beside each of GB 2312's first level, which is sorted by sound."""
    points = [bytes([0xA0 + row, 0xA0 + cell]) for row in range(16, 56) for cell in range(1, 95)]
    level = "".join(point.decode("gb2312", "ignore") for point in points)
    return {
        one: level[max(0, place - 1) : place] + level[place + 1 : place + 2]
        for place, one in enumerate(level)
    }


@cache
def _widths() -> Mapping[int, str]:
    table = {point: chr(point + 0xFEE0) for point in range(0x21, 0x7F)}
    table |= {point + 0xFEE0: chr(point) for point in range(0x21, 0x7F)}
    pairs = zip("。、“”‘’　", [".", ",", '"', '"', "'", "'", " "], strict=True)
    return table | {ord(full): half for full, half in pairs}


@cache
def _marks() -> re.Pattern[str]:
    """Punctuation; ASCII marks between letters or digits belong to a word (don't, 3.5)."""
    # None stands beyond Unicode's second plane, and a look at all seventeen takes a second.
    marks = [chr(n) for n in range(0x20000) if unicodedata.category(chr(n))[0] == "P"]
    inner = "".join(re.escape(mark) for mark in marks if mark.isascii())
    wide = "".join(mark for mark in marks if not mark.isascii())
    return re.compile(rf"[{wide}]|(?<![A-Za-z0-9])[{inner}]|[{inner}](?![A-Za-z0-9])")


@cache
def _converter(kind: str) -> Any:
    import opencc

    return opencc.OpenCC(kind)
