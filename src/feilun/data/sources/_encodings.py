"""Which encoding bytes are in that say nothing of it: by what they would spell.

Three steps: UTF-8 by its form, which nothing else has by chance; encodings of two bytes a
character by frequent characters; those of one byte by letters of a language inside its words.
Nowhere does a single bad byte decide.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from feilun.data.sources._letters import FREQUENT, LANGUAGES, PUNCTUATION, Language

__all__ = ["Found", "encoding_in", "looks_chinese", "whole_lines"]

_LINES = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
_WORD = re.compile(r"[^\W\d_]+")
_SAMPLE = 30_000  # bytes of lines with something beyond ASCII; more would not change the answer
_BEYOND = re.compile(r"[^\x00-\x7f]")
_BAD = "\ufffd"
_FEW = 12  # bytes beyond ASCII that say too little to be sure of
_FEW_WORDS = 2
_TORN = 3  # words, one of which tips the balance against the others
_MARKS = PUNCTUATION - {"\xa0"}
_WORDS = frozenset("àáâäåæèéêìíòóôöøùúýº")
"""Letters that are words by themselves somewhere, or stand for one."""
_MOST_WORDS = 1000
_MOST_PLACES = 20_000
_READ = 20_000  # characters of which the short words are counted
_USUAL = "cp1252"
_BETWEEN = re.compile(rb'[\s,;|"]')
_NARROW = 0.12

_BEYOND_ASCII = bytes(range(0x80, 0x100))


@dataclass(frozen=True, slots=True)
class Found:
    """An encoding; where it is a guess, up to three `examples` of what it makes of the text."""

    encoding: str
    examples: tuple[str, ...] = ()


def whole_lines(sample: bytes) -> bytes:
    """`sample` without what a cut left of its last line; without the characters at the cut, where
    it is all one line."""
    end = max(sample.rfind(b"\n"), sample.rfind(b"\r"))
    if end >= 0 and not sample[: end + 1].isascii():
        return sample[: end + 1]
    cut = len(sample)
    while cut and sample[cut - 1] >= 0x80 and len(sample) - cut < 8:
        cut -= 1
    return sample[:cut] or sample


@lru_cache(2)  # the same file is looked at for its format, then to be read
def encoding_in(sample: bytes) -> Found | None:
    """The encoding of `sample`, which holds something beyond ASCII; None where nothing fits."""
    good, bad = _characters(sample)
    if good >= 4 * bad:
        return Found("utf-8")
    lines = _beyond_ascii(sample)
    pairs = sorted(((_pairs(lines, name), name) for name in FREQUENT), reverse=True)
    letters = _one_byte(lines)
    best, name = pairs[0]
    if best >= 0.3 and best > (letters[0][0] if letters else 0) - 0.3:
        # Among so few characters frequent ones may stand by chance.
        other = next(
            (o for s, o in pairs[1:] if s > best - _NARROW and _differ(lines, name, o)), ""
        )
        return Found(name, _examples(lines, name, other) if other else ())
    if letters and letters[0][0] > 0.6:
        found = _told(sample, lines, letters)
        if best >= 0.3 and not found.examples:  # so few characters fit either way
            return Found(found.encoding, _examples(lines, found.encoding, name))
        return found
    if _pairs(lines, "gb18030", least=-1) > -0.2 and looks_chinese(lines):
        return Found("gb18030")
    return _told(sample, lines, letters) if letters and letters[0][0] > -0.5 else None


def _told(sample: bytes, lines: bytes, ranked: list[tuple[float, str]]) -> Found:
    """The best of the one-byte encodings. Between two that spell nearly as well, the words decide
    in which they differ; it stays a guess where these are few, or say little."""
    best, name = ranked[0]
    few = sum(byte >= 0x80 for byte in lines[:4096]) < _FEW
    sure, rival = best > 0.6 and not few, ""
    for score, other in ranked[1:]:
        words = _apart(sample, name, other)
        if not words:
            continue
        rival = rival or other
        if best - score > _NARROW:
            break
        spelt = {o: s for s, o in _one_byte(b" ".join(words), {name, other})}
        gain = spelt.get(other, -9.0) - spelt.get(name, -9.0)
        # Few words, of which the other cannot spell one at all: they say one and the other.
        few_lost = len(words) <= _TORN and any(_lost(word, other, name) for word in words)
        torn = gain > _NARROW and few_lost
        if gain > _NARROW and not torn:
            name, rival = other, name
        sure = sure and len(words) >= _FEW_WORDS and abs(gain) > _NARROW and not torn
    if not _apart(sample, name, _USUAL):  # the same text by the name that people know
        name = _USUAL
    return Found(name, () if sure else _examples(lines, name, rival))


def _lost(word: bytes, one: str, other: str) -> bool:
    """Whether `one` has no character for a byte that is one in `other`."""
    return any(
        _is_none(a) and not _is_none(b)
        for a, b in zip(word.decode(one, "replace"), word.decode(other, "replace"), strict=True)
    )


def _apart(sample: bytes, one: str, other: str) -> list[bytes]:
    """Words that two encodings of one byte a character spell in two ways, each once."""
    found: dict[bytes, None] = {}
    differing = _differing(one, other)
    for place in islice(differing.finditer(sample) if differing else (), _MOST_PLACES):
        before = _BETWEEN.split(sample[max(0, place.start() - 40) : place.start()])[-1]
        after = _BETWEEN.split(sample[place.end() : place.end() + 40], 1)[0]
        found[before + place[0] + after] = None
        if len(found) == _MOST_WORDS:
            break
    return list(found)


@lru_cache(256)
def _differing(one: str, other: str) -> re.Pattern[bytes] | None:
    """Bytes that are two characters; not those that are none in either."""
    marks = b""
    for place in range(0x80, 0x100):
        byte = bytes([place])
        first, second = byte.decode(one, "replace"), byte.decode(other, "replace")
        if first != second and not (_is_none(first) and _is_none(second)):
            marks += byte
    return re.compile(b"[" + re.escape(marks) + b"]") if marks else None


def _is_none(c: str) -> bool:
    return c == _BAD or "\x80" <= c < "\xa0"


def _characters(sample: bytes) -> tuple[int, int]:
    """How many characters beyond ASCII `sample` has as UTF-8, and how often it is none there. A
    U+FFFD that is written in it was lost by an earlier program, and is a character."""
    text = sample.decode("utf-8", "replace")
    beyond = len(text) - len(sample.translate(None, _BEYOND_ASCII))  # whatever is bad, ASCII stays
    bad = text.count(_BAD) - sample.count(_BAD.encode())
    return beyond - bad, bad


def _beyond_ascii(sample: bytes) -> bytes:
    """Lines that have something beyond ASCII in them, as many as need be looked at, taken from
    the whole of the sample."""
    lines = list(dict.fromkeys(_LINES.findall(sample)))
    step = max(1, sum(map(len, lines)) // _SAMPLE)
    return b"\n".join(line[:4000] for line in lines[::step])[: 2 * _SAMPLE]


def _pairs(lines: bytes, encoding: str, least: float = 0.0) -> float:
    """The share of frequent characters, 0 where more than one line in five is not `encoding`."""
    texts = [line.decode(encoding, "replace") for line in lines.split(b"\n")]
    damaged = sum(_BAD in text for text in texts)
    if damaged > max(1, len(texts) // 5):
        return least
    fits = total = 0
    for text in texts:
        for c in text:
            if c > "\x7f":
                total += 1
                fits += c in FREQUENT[encoding]
    return fits / total if total >= 2 else least


def _one_byte(lines: bytes, only: Collection[str] = ()) -> list[tuple[float, str]]:
    """Encodings of one byte a character with how well they spell, the best first. Among `only` some
    the letters alone decide: single words say little of a language."""
    candidates: dict[str, list[tuple[int, Language]]] = {}
    for language in LANGUAGES:
        for place, name in enumerate(language.encodings):
            candidates.setdefault(name, []).append((place, language))
    found = []
    for name, languages in candidates.items():
        if only and name not in only:
            continue
        text = lines.decode(name, "replace")
        words = Counter(() if only else _WORD.findall(text[:_READ].lower()))
        form = _form(text)
        if form < -1:
            continue
        counts = Counter(_BEYOND.findall(text))
        letters = Counter(
            {c: n for c, n in counts.items() if c not in PUNCTUATION and not _is_none(c)}
        )
        marks = sum(n for c, n in counts.items() if c in _MARKS)
        score = max(
            _fit(letters, marks, words, language) - 0.03 * place for place, language in languages
        )
        found.append((score + form, name))
    return sorted(found, key=lambda pair: -pair[0])


def _fit(letters: Counter[str], marks: int, words: Counter[str], language: Language) -> float:
    """1 where every letter is a frequent one of the language, less for rare ones, below 0 for
    others; 1 for marks, which `_form` looks at; a little more where the language's short
    words stand."""
    score = float(marks)
    frequent = {letter: place for place, letter in enumerate(language.letters)}
    scale = max(12, len(frequent))
    for letter, count in letters.items():
        place = frequent.get(letter, frequent.get(letter.lower()))
        score += count * (-1.0 if place is None else 1.0 - 0.5 * place / scale)
    total = sum(letters.values()) + marks
    all_words = sum(words.values())
    known = sum(words[word] for word in language.words)
    return (score / total if total else 0.0) + min(0.5, 2.0 * known / max(1, all_words))


def _form(text: str) -> float:
    """0 for a text in which letters are inside words and case is plausible; less for others."""
    wrong, total, none = 0.0, 0, 0
    before = after = " "
    for found in _BEYOND.finditer(text):
        place, c = found.start(), found[0]
        total += 1
        before = text[place - 1] if place else " "
        after = text[place + 1] if place + 1 < len(text) else " "
        if _is_none(c):
            none += 1
            wrong += 3 if none > 1 else 0.5  # one bad byte does not decide
        elif c.isalpha():
            wrong += _misplaced(before, c, after)
        elif "\u0e00" <= c < "\u0e80" and (_latin(before) or _latin(after)):
            wrong += 1.5  # a Thai vowel above a Latin letter
        elif c not in "’·" and before.isalpha() and after.isalpha() and not _joins(c):
            wrong += 1.5
        elif c not in PUNCTUATION and not _joins(c):
            wrong += 1.2 if after.isalpha() else 0.7
    return -wrong / total if total else 0.0


def _misplaced(before: str, c: str, after: str) -> bool:
    """Another script in the middle of a Latin word, case that no word has, or a letter alone that
    is no word."""
    if "\u0370" <= c < "\u1e00" and (_latin(before) or _latin(after)):
        return True
    if c < "\u0250" and c.lower() not in _WORDS and not before.isalpha() and not after.isalpha():
        return True
    if c.isupper():
        return before.islower()
    return c.islower() and before.isupper() and after.isupper()


def _latin(c: str) -> bool:
    return c.isascii() and c.isalpha()


def _joins(c: str) -> bool:
    """Marks that stand above or below letters, as cp1258 and Thai and Arabic write them."""
    return unicodedata.combining(c) > 0 or "\u0e30" <= c <= "\u0e4e"


def _differ(lines: bytes, one: str, other: str) -> bool:
    return lines.decode(one, "replace") != lines.decode(other, "replace")


def _examples(lines: bytes, name: str, other: str) -> tuple[str, ...]:
    """Up to three words that show the choice: those that `other` would spell in another way."""
    found: dict[str, None] = {}
    for piece in re.findall(rb"[^\s,;|\"\t]*[\x80-\xff][^\s,;|\"\t]*", lines):
        word = piece.decode(name, "replace").strip(".:!?()")
        if len(word) > 1 and (not other or word != piece.decode(other, "replace").strip(".:!?()")):
            found[word[:40]] = None
        if len(found) == 3:
            break
    # A mark that stands alone shows nothing without the words around it.
    return tuple(found) or tuple(
        line.decode(name, "replace").strip()[:40] for line in lines.split(b"\n")[:3]
    )


def looks_chinese(sample: bytes) -> bool:
    """Whether the pairs are mostly everyday characters and punctuation. GB18030 decodes nearly
    anything, also western European text, in which a single high byte swallows its neighbour."""
    common = other = place = 0
    while place < len(sample) - 1:
        first, second = sample[place], sample[place + 1]
        if first < 0x80:
            place += 1
            continue
        everyday = 0xB0 <= first <= 0xD7 or 0xA1 <= first <= 0xA3
        if everyday and second >= 0xA1:
            common += 1
        else:
            other += 1
        place += 2
        if common + other >= 20_000:
            break
    return common >= 4 * other
