"""Which tags occur how often, and which always with which."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any, Literal

from feilun.families.base import Peculiarity
from feilun.families.tags.decisions import tags_of

__all__ = ["TagTally"]

_FEWEST = 5
"""Rows of a tag below which always is chance."""
_RARE, _HOPELESS = 50, 10
"""Rows of a tag below which its test rows say little, and below which it is hardly learnt."""
_NAMED = 10
_MOST = 40
"""Tags of a row beyond which its pairs are not counted: there would be a thousand and more."""


class TagTally:
    """Counts targets one after the other; memory grows with tags and pairs of tags, not rows."""

    def __init__(self) -> None:
        self.total = 0
        self.rows: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()

    def add(self, target: str, count: int = 1) -> None:
        """`count` rows with the canonical `target`."""
        tags = tags_of(target)
        self.total += count
        for tag in tags:
            self.rows[tag] += count
        if len(tags) <= _MOST:
            for pair in combinations(tags, 2):
                self._pairs[pair] += count

    def together(self) -> list[tuple[str, str]]:
        """Pairs of tags of which no row has one alone, the most frequent first."""
        return [
            (one, other)
            for (one, other), rows in self._pairs.most_common()
            if _FEWEST <= rows == self.rows[one] == self.rows[other]
        ]

    def everywhere(self) -> list[str]:
        """Tags that every row has."""
        return [tag for tag, rows in sorted(self.rows.items()) if rows == self.total >= _FEWEST]

    def rare(self) -> list[tuple[str, int]]:
        """Tags that fewer than `_RARE` rows have, with their rows, the rarest first."""
        found = [(tag, rows) for tag, rows in self.rows.items() if rows < _RARE]
        return sorted(found, key=lambda each: (each[1], each[0]))

    def findings(self) -> list[Peculiarity]:
        """As the audit names them."""
        of, found = len(self.rows), []
        if pairs := self.together():
            shown = [f"{one} = {other}" for one, other in pairs[:_NAMED]]
            found.append(Peculiarity("tags_together", "warn", len(pairs), of, {"pairs": shown}))
        if everywhere := self.everywhere():
            params: dict[str, Any] = {"labels": everywhere[:_NAMED]}
            found.append(Peculiarity("tags_everywhere", "warn", len(everywhere), of, params))
        if (rare := self.rare()) and self.total >= _RARE:
            hopeless = sum(rows < _HOPELESS for _, rows in rare)
            params = {
                "labels": [f"{tag} ({rows})" for tag, rows in rare[:_NAMED]],
                "hopeless": hopeless,
                "limit": _RARE,
            }
            severity: Literal["info", "warn"] = "warn" if hopeless else "info"
            found.append(Peculiarity("rare_tags", severity, len(rare), of, params))
        return found
