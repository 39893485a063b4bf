"""Personal data in texts becomes a tag, or a pseudonym that the vault can turn back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection

from feilun.data.personal import find

__all__ = ["TAGS", "TOKEN", "Masker", "tag", "unmask"]

TAGS = {
    "email": ("EMAIL", "邮箱"),
    "phone": ("PHONE", "电话"),
    "id": ("ID", "身份证"),
    "bank": ("CARD", "银行卡"),
    "company": ("COMPANY", "信用代码"),
    "plate": ("PLATE", "车牌"),
}
"""What stands for each kind: ``[PHONE]``, in a text with Chinese characters ``【电话】``."""

_CHINESE = re.compile(r"[\u3400-\u9fff]")
_NAMES = "|".join(re.escape(word) for pair in TAGS.values() for word in pair)
TOKEN = re.compile(rf"(?:\[(?:{_NAMES})_([b-z]{{12,24}})\])|(?:【(?:{_NAMES})_([b-z]{{12,24}})】)")
"""A pseudonym: the tag with letters behind it, never digits, which could look like a number."""

Pseudonym = Callable[[str, str], str]


def tag(kind: str, chinese: bool, letters: str = "") -> str:
    """The tag of `kind`, with the `letters` of a pseudonym."""
    name = TAGS[kind][chinese] + (f"_{letters}" if letters else "")
    return f"【{name}】" if chinese else f"[{name}]"


class Masker:
    """Masks the kinds `kinds`. With `pseudonym` (kind, value → letters) masks can be undone."""

    def __init__(self, kinds: Collection[str], pseudonym: Pseudonym | None = None) -> None:
        self._kinds = frozenset(kinds)
        self._pseudonym = pseudonym

    def __call__(self, text: str) -> tuple[str, Counter[str]]:
        """The masked text, and how much of each kind was masked. Masking twice changes nothing."""
        spans = [span for span in find(text) if span.kind in self._kinds]
        if not spans:
            return text, Counter()
        chinese = _CHINESE.search(text) is not None
        parts, end = [], 0
        for span in spans:
            value = text[span.start : span.end]
            letters = self._pseudonym(span.kind, value) if self._pseudonym else ""
            parts += [text[end : span.start], tag(span.kind, chinese, letters)]
            end = span.end
        return "".join([*parts, text[end:]]), Counter(span.kind for span in spans)


def unmask(text: str, value: Callable[[str], str | None]) -> tuple[str, int, int]:
    """`text` with its pseudonyms turned back by `value` (letters → what they stand for), how many
    were turned back, and how many `value` does not know; those stay."""
    found = Counter[bool]()

    def back(match: re.Match[str]) -> str:
        said = value(match.group(1) or match.group(2))
        found[said is not None] += 1
        return match.group() if said is None else said

    return TOKEN.sub(back, text), found[True], found[False]
