"""What two texts and their label show together over all rows: for the audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Literal, cast

from feilun.families.base import Peculiarity
from feilun.modalities.text.pair_checks import same
from feilun.types import Item

__all__ = ["CoupleChecks"]

_SHOWN = 3
_LOUD = 0.02
"""Share of the rows from which on pairs that contradict one another are a warning."""
_SHARED = 0.5
"""Share of the rows with a text of another row from which on that is a warning."""


class CoupleChecks:
    """Pairs that are labelled otherwise when turned around, pairs of one text twice among such that
    mostly have another label, and texts that stand in many rows. Of each text 8 bytes are kept."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._seen: dict[tuple[bytes, bytes], str] = {}
        self._rows: Counter[bytes] = Counter()
        self._turned: list[int] = []
        self._alike: list[tuple[int, str]] = []
        self._both: list[tuple[int, bytes, bytes]] = []

    def add(self, row: int, item: Item, target: str) -> None:
        """The row at this place."""
        pair = cast(Mapping[str, str], item)
        one, other = (pair[name] for name in self._names)
        left, right = _hash(one), _hash(other)
        if left != right and self._seen.get((right, left), target) != target:
            self._turned.append(row)
        self._seen.setdefault((left, right), target)
        if same(one, other):
            self._alike.append((row, target))
        self._rows.update({left, right})
        self._both.append((row, left, right))

    def findings(self) -> Sequence[Peculiarity]:
        """What there is to say."""
        of = len(self._both)
        found: list[Peculiarity] = []
        if self._turned:
            found.append(
                _told("turned_pairs", self._turned, of, loud=len(self._turned) > _LOUD * of)
            )
        labels = Counter(label for _, label in self._alike)
        if len(labels) > 1:
            usual = labels.most_common(1)[0][0]
            rows = [row for row, label in self._alike if label != usual]
            found.append(_told("alike_texts", rows, len(self._alike), usual=usual))
        shared = [row for row, *both in self._both if any(self._rows[one] > 1 for one in both)]
        if shared:
            found.append(_told("shared_texts", shared, of, loud=len(shared) > _SHARED * of))
        return found


def _told(
    code: str, rows: Sequence[int], of: int, *, loud: bool = True, **params: str
) -> Peculiarity:
    severity: Literal["info", "warn"] = "warn" if loud else "info"
    return Peculiarity(code, severity, len(rows), of, params, rows[:_SHOWN])


def _hash(text: str) -> bytes:
    words = " ".join(text.casefold().split())
    return blake2b(words.encode("utf-8", "replace"), digest_size=8).digest()
