"""What questions and the documents that answer them show together: for the audit."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

from feilun.families.base import Peculiarity
from feilun.families.ranking import items_of
from feilun.types import Item

__all__ = ["CatalogueChecks"]

_SHOWN = 3
_LOUD = 0.05
"""Share of the documents from which on a finding is a warning."""
_MANY_UNASKED = 0.5
# A character of a script without spaces counts as a word.
_WORD = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]|[^\\W_]+")


class CatalogueChecks:
    """Documents that say the same, that nobody asks for, and that are longer than an encoder reads,
    which is `limit` tokens. Of each document 8 bytes are kept, not its text."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: dict[bytes, int] = {}
        self._asked: set[bytes] = set()
        self._said: dict[bytes, bytes] = {}
        self._same: list[int] = []
        self._long: list[int] = []
        self._questions: set[bytes] = set()

    def add(self, row: int, item: Item, target: str) -> None:
        """The row at this place."""
        question = str(item)
        for document in items_of(target):
            key = _hash(document)
            if question.strip() != document:
                self._asked.add(key)
                self._questions.add(_hash(question))
            if key in self._rows:
                continue
            self._rows[key] = row
            words = _WORD.findall(unicodedata.normalize("NFKC", document).casefold())
            if len(words) > self._limit:
                self._long.append(row)
            if words and self._said.setdefault(_hash(" ".join(words)), key) != key:
                self._same.append(row)

    def findings(self) -> Sequence[Peculiarity]:
        """What there is to say."""
        of = len(self._rows)
        found = [
            Peculiarity(
                code, "warn" if len(rows) > _LOUD * of else "info", len(rows), of,
                {"limit": self._limit}, rows[:_SHOWN],
            )
            for code, rows in (("same_documents", self._same), ("long_documents", self._long))
            if rows
        ]  # fmt: skip
        unasked = [row for key, row in self._rows.items() if key not in self._asked]
        if unasked:
            loud = len(unasked) > _MANY_UNASKED * of
            params = {"questions": len(self._questions)}
            severity: Literal["info", "warn"] = "warn" if loud else "info"
            shown = unasked[:_SHOWN]
            found.append(
                Peculiarity("unasked_documents", severity, len(unasked), of, params, shown)
            )
        return found


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
