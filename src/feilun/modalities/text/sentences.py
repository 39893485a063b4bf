"""Where the sentences of a text stand, in Chinese, English and what is written like them."""

from __future__ import annotations

import re

__all__ = ["join", "sentences"]

_CLOSE = "”’」』）)\"'】》"
_END = re.compile(
    rf"""
      [。！？!?…；][。！？!?…]*[{_CLOSE}]*            # of Chinese: nothing has to follow
    | \.(?!\d)[{_CLOSE}]*(?=\s|$)                     # a full stop before a space
    | \n\s*(?=\S)                                     # a line of its own
    """,
    re.VERBOSE,
)
_SHORT = re.compile(
    r"(?:\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|No|vs|etc|e\.g|i\.e|Inc|Ltd|Co|Jan|Feb|Mar|Apr|Jun|Jul"
    r"|Aug|Sept?|Oct|Nov|Dec|U\.S))\.$"
)
_EAST = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef”’]")


def sentences(text: str) -> list[str]:
    """The sentences of `text` in their order, without space around them. An abbreviation does not
    end one; an end of line does."""
    found, begin = [], 0
    for end in _END.finditer(text):
        part = text[begin : end.end()].strip()
        if not part or (part.endswith(".") and _SHORT.search(part[-8:])):
            continue
        if any(map(str.isalnum, part)):
            found.append(part)
            begin = end.end()
    rest = text[begin:].strip()
    return [*found, rest] if rest else found


def join(parts: list[str]) -> str:
    """Sentences as one text: a space between two unless one is of a script without spaces."""
    text = ""
    for part in parts:
        close = not text or _EAST.match(text[-1]) or _EAST.match(part[0])
        text += part if close else f" {part}"
    return text
