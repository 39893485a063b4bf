"""The steps that look at one row alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from feilun.data.clean.mask import Masker
from feilun.data.clean.named import NOTHING, Named
from feilun.data.clean.recipe import Cleaning
from feilun.data.clean.tally import Tally
from feilun.families.base import Family

__all__ = ["RowState", "RowSteps", "is_blank"]

_FACE = re.compile(r"[:;=][-'^]?[()\[\]/\\|<>*]+|[()]+[-'^]?[:;=]")
_PLACEHOLDERS = frozenset({"nan", "null", "none", "n/a", "#n/a", "undefined"})


@dataclass(slots=True)
class RowState:
    """A row on its way: `texts` are its text columns. `masked` tells that one was changed."""

    row_id: str
    label: str | None
    texts: list[str] = field(default_factory=list)
    test: bool = False
    masked: bool = False

    def shown(self) -> str:
        """The row as an example shows it."""
        return " | ".join(self.texts) or self.row_id


class RowSteps:
    """The steps of one `Cleaning` that need no other row. `named` are the rows that its files name;
    rows that come later have none."""

    def __init__(
        self,
        cleaning: Cleaning,
        masker: Masker | None,
        tally: Tally,
        family: Family,
        named: Named = NOTHING,
    ) -> None:
        self._cleaning = cleaning
        self.masker = masker
        self._tally = tally
        self._named = named
        self._family = family
        steps: list[tuple[str, Mapping[str, str], Collection[str]]] = [
            ("drop_labels", {}, frozenset(cleaning.drop_labels)),
            ("rename_labels", cleaning.rename_labels, ()),
            ("merge_labels", cleaning.merge_labels, ()),
        ]
        self._relabel = [one for one in steps if one[1] or one[2]]

    def __call__(self, row: RowState) -> bool:
        """Changes `row` as the steps say; False when it is dropped."""
        return self._by_name(row) and self._by_label(row) and self._by_text(row)

    def _by_name(self, row: RowState) -> bool:
        named, tally = self._named, self._tally
        if row.row_id in named.dropped:
            tally.note(named.dropped[row.row_id], row.test, f"{row.label} ← {row.shown()}")
            return False
        label = named.labels.get(row.row_id)
        if label is not None and label != row.label:
            before = f"{row.label} ← {row.shown()}"
            tally.note("relabel", row.test, before, label, {f"{row.label} → {label}": 1})
            row.label = label
        return True

    def _by_label(self, row: RowState) -> bool:
        if row.label is None:
            return True
        for step, names, dropped in self._relabel:
            old = row.label
            new = self._family.relabelled(old, names, dropped)
            if new is None:
                self._tally.note(step, row.test, f"{old} ← {row.shown()}", by={old: 1})
                return False
            if old != new:
                before = f"{old} ← {row.shown()}"
                self._tally.note(step, row.test, before, new, {f"{old} → {new}": 1})
            row.label = new
        return True

    def _by_text(self, row: RowState) -> bool:
        texts, tally, cleaning = row.texts, self._tally, self._cleaning
        if not texts:
            return True
        if self.masker is not None:
            self._mask(row, self.masker)
        if cleaning.drop_empty and all(map(is_blank, texts)):
            tally.note("drop_empty", row.test, repr(row.shown()))
            return False
        length = sum(map(len, texts))
        if cleaning.drop_long and length > cleaning.drop_long:
            tally.note("drop_long", row.test, f"({length:,}) {row.shown()}")
            return False
        return True

    def _mask(self, row: RowState, masker: Masker) -> None:
        before = row.shown()
        changed = [masker(text) for text in row.texts]
        if any(counts for _, counts in changed):
            row.texts = [text for text, _ in changed]
            row.masked = True
            by = sum((counts for _, counts in changed[1:]), changed[0][1])
            self._tally.note("mask", row.test, before, row.shown(), by)


def is_blank(text: str) -> bool:
    """Whether a text says nothing: no letter, digit or symbol (an emoji is one) and no face such
    as ``:(``, or only what programs write where nothing was (``nan``, ``null``, …)."""
    text = text.strip()
    if len(text) < 10 and text.casefold() in _PLACEHOLDERS:
        return True
    silent = all(unicodedata.category(sign)[0] in "PZC" for sign in text[:10_000])
    return silent and not _FACE.search(text[:100])
