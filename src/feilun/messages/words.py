"""Names that programs keep (steps, units, kinds) as words in the language in force."""

from __future__ import annotations

from feilun.messages import Language, has, t

__all__ = ["head_in_words", "in_words", "step_words", "unit_words"]


def in_words(pattern: str, name: str, lang: Language | None = None) -> str:
    """The sentence whose key is `pattern` with `name` for its ``*``; the name itself where there is
    none."""
    key = pattern.replace("*", name)
    return t(key, lang) if has(key) else name


def head_in_words(pattern: str, text: str, lang: Language | None = None) -> str:
    """`text` with its first word in words: ``email 3``."""
    first, space, rest = text.partition(" ")
    return f"{in_words(pattern, first, lang)}{space}{rest}"


def unit_words(name: str) -> str:
    """A unit or a figure."""
    return in_words("units.*", name)


def step_words(step: str) -> str:
    """A step such as ``train:head`` or ``audit:near``."""
    kind, _, detail = step.partition(":")
    words = in_words("progress.*", kind)
    return f"{words} ({in_words('progress.part_*', detail)})" if detail else words
