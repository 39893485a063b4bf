"""Texts as sequences of tokens: where tokens lie, what is seen of each, and spans as BIOES tags.

A token is one character of a script without spaces (Chinese, Japanese), a run of letters, a run of
digits, or a single sign. So one text may mix scripts, and no language has to be named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from feilun.errors import InvalidData
from feilun.metrics.spans import Span

__all__ = ["features", "is_tag", "joined", "spans_of", "tags_of", "tokens"]

_ALONE = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf"
_ALONE += "\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{_ALONE}]|\d+|(?:(?![{_ALONE}])[^\W\d_])+|\S")
_CLOSE = re.compile(rf"[{_ALONE}\u3000-\u303f\uff00-\uffef“”‘’…—]")
_TAG = re.compile(r"O|[BIESMLU][-_]\S.*")
_SPACE = re.compile(r"\s")

Tokens = list[tuple[int, int]]


def tokens(text: str) -> Tokens:
    """Start and end of each token; space is none."""
    return [found.span() for found in _TOKEN.finditer(text)]


def tags_of(found: Tokens, spans: Iterable[Span]) -> list[str]:
    """One BIOES tag a token. A span that begins or ends inside a token covers all of it; of two
    spans in one token the first counts."""
    tags = ["O"] * len(found)
    at = 0
    for start, end, label in sorted(spans):
        while at < len(found) and found[at][1] <= start:
            at += 1
        first = at
        while at < len(found) and found[at][0] < end:
            at += 1
        if at - first == 1:
            tags[first] = f"S-{label}"
        elif at > first:
            tags[first:at] = [f"B-{label}", *[f"I-{label}"] * (at - first - 2), f"E-{label}"]
    return tags


def spans_of(found: Tokens, tags: Sequence[str]) -> list[tuple[int, int, str, list[int]]]:
    """Start, end and kind of every span that BIO or BIOES `tags` tell, and the places of its
    tokens. What does not begin where it should begins there all the same."""
    spans: list[tuple[int, int, str, list[int]]] = []
    held: list[int] = []
    kind = ""

    def close() -> None:
        if held:
            spans.append((found[held[0]][0], found[held[-1]][1], kind, list(held)))
            held.clear()

    for place, tag in enumerate(tags):
        mark, _, label = tag.partition("-")
        if not label or mark in "BSU" or label != kind:
            close()
        if label:
            kind = label
            held.append(place)
            if mark in "ELSU":
                close()
    close()
    return spans


def joined(words: Sequence[str], tags: Sequence[Any]) -> tuple[str, list[Span]]:
    """The sentence of tagged words and its spans. A space stands between two words unless one of
    them is of a script without spaces. Raises `InvalidData` for what are no tags of such words."""
    if len(words) != len(tags):
        raise InvalidData("spans.ragged", tokens=len(words), tags=len(tags))
    wrong = next((tag for tag in tags if not is_tag(tag)), None)
    if wrong is not None:
        code = "spans.tags_are_numbers" if not isinstance(wrong, str) else "spans.bad_tag"
        raise InvalidData(code, tag=str(wrong)[:40])
    text, found = "", []
    for word in words:
        if text and word and not (_CLOSE.match(text[-1]) or _CLOSE.match(word[0])):
            text += " "
        found.append((len(text), len(text) + len(word)))
        text += word
    plain = [tag.replace("_", "-", 1) if tag[1:2] == "_" else tag for tag in tags]
    return text, [one[:3] for one in spans_of(found, plain)]


def is_tag(value: object) -> bool:
    """Whether `value` is ``O`` or a kind's tag: ``B-PER``, ``I-PER``, ``E-``, ``S-``, and the
    letters of other schemes for them (M, L, U)."""
    return isinstance(value, str) and _TAG.fullmatch(value) is not None


def features(text: str, found: Tokens) -> list[list[str]]:
    """What is seen of each token: itself and its neighbours two to each side, their case and shape,
    pairs and triples of them, beginnings and endings of words."""
    words = [text[start:end] for start, end in found]
    lower = ["", "", *(word.casefold() for word in words), "", ""]
    shapes = ["", "", *map(_shape, words), "", ""]
    seen = []
    for at, word in enumerate(words, 2):
        before2, before, own, after, after2 = lower[at - 2 : at + 3]
        one = [
            "b",
            f"0={own}",
            f"-={before}",
            f"+={after}",
            f"--={before2}",
            f"++={after2}",
            f"-0={before}|{own}",
            f"0+={own}|{after}",
            f"-+={before}|{after}",
            f"--0={before2}|{before}|{own}",
            f"0++={own}|{after}|{after2}",
            f"-0+={before}|{own}|{after}",
            f"s0={shapes[at]}",
            f"s={shapes[at - 1]}|{shapes[at]}|{shapes[at + 1]}",
        ]
        size = len(own)
        if size > 1:
            one.append(f"w={word}")
            one += [f"p{n}={own[:n]}" for n in range(1, min(size, 5))]
            one += [f"e{n}={own[-n:]}" for n in range(1, min(size, 5))]
            one += [f"n={own[n : n + 3]}" for n in range(size - 2)]
        start = found[at - 2][0]
        if start and not _SPACE.match(text, start - 1):
            one.append("joined")
        seen.append(one)
    return seen


def _shape(word: str) -> str:
    """``Xx`` for a capital and small letters, ``9`` for digits, ``C`` for a character that stands
    alone, a sign as it is."""
    first = word[0]
    if first.isdigit():
        return f"9{min(len(word), 5)}"
    if not first.isalpha():
        return word
    if len(word) == 1 and not first.isupper() and not first.islower():
        return "C"
    if word.isupper():
        return "X" if len(word) == 1 else "XX"
    return "Xx" if first.isupper() else "x" if word.islower() else "xX"
