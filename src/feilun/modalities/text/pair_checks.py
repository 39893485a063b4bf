"""What a text and its answer show together, row by row: for the audit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from feilun.families.base import Peculiarity
from feilun.metrics.placeholders import kept, slots
from feilun.types import Item

__all__ = ["Check", "PairChecks", "TranslationChecks", "repeated", "same", "wordier"]

Check = Callable[[str, str], bool]
"""Whether something is wrong with a text and its answer."""

_SHOWN = 3
_LOUD = 0.02
"""Share of the rows from which on a finding is a warning."""
_EAST = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")


class PairChecks:
    """Counts the rows that each of `checks` is true of, by the code of its finding."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._found: dict[str, tuple[int, list[int]]] = {}
        self._of = 0

    def add(self, row: int, item: Item, target: str) -> None:
        """The row at this place."""
        self._of += 1
        for code, check in self._checks.items():
            if check(str(item), target):
                self._count(code, row)

    def findings(self) -> Sequence[Peculiarity]:
        """What there is to say."""
        found = []
        for code, (count, rows) in self._found.items():
            severity: Literal["info", "warn"] = "warn" if count > _LOUD * self._of else "info"
            found.append(Peculiarity(code, severity, count, self._of, {}, rows))
        return found

    def _count(self, code: str, row: int) -> None:
        count, rows = self._found.get(code, (0, []))
        self._found[code] = count + 1, [*rows, row] if len(rows) < _SHOWN else rows


class TranslationChecks(PairChecks):
    """Besides, rows in which text and translation have changed places: where nearly all texts are
    written in one script and nearly all translations in another, those the other way round."""

    def __init__(self) -> None:
        super().__init__({"untranslated": _untranslated, "placeholders_differ": _differ})
        self._ways: dict[tuple[bool, bool], tuple[int, list[int]]] = {}

    def add(self, row: int, item: Item, target: str) -> None:
        """See `PairChecks`."""
        super().add(row, item, target)
        way = _EAST.search(str(item)) is not None, _EAST.search(target) is not None
        if way[0] != way[1] and _is_wordy(str(item)) and _is_wordy(target):
            count, rows = self._ways.get(way, (0, []))
            self._ways[way] = count + 1, [*rows, row] if len(rows) < _SHOWN else rows

    def findings(self) -> Sequence[Peculiarity]:
        """See `PairChecks`."""
        found = list(super().findings())
        if len(self._ways) == 2:
            count, rows = min(self._ways.values(), key=lambda one: one[0])
            if 10 * count < sum(one for one, _ in self._ways.values()):
                found.append(Peculiarity("swapped_languages", "warn", count, self._of, {}, rows))
        return found


def same(text: str, answer: str) -> bool:
    """Whether both say the same but for case and space."""
    return text.casefold().split() == answer.casefold().split()


def wordier(text: str, answer: str) -> bool:
    """Whether the answer is as long as its text, or longer."""
    return len(answer) >= len(text) and not same(text, answer)


def repeated(text: str, answer: str) -> bool:
    """Whether the answer begins with its text, as some models write it."""
    return len(text) > 10 and answer.startswith(text) and len(answer) > len(text)


def _untranslated(text: str, answer: str) -> bool:
    return _is_wordy(text) and same(text, answer)


def _differ(text: str, answer: str) -> bool:
    return not kept(text, answer)


def _is_wordy(text: str) -> bool:
    """Whether there is a word outside placeholders."""
    begin = 0
    for slot in slots(text):
        if _LETTER.search(text, begin, slot.start):
            return True
        begin = slot.end
    return _LETTER.search(text, begin) is not None
