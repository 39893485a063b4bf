"""What is known of users or items besides who took what: the columns of a table of them, as
features by which two can be compared.

A column is one block of features: a number by the tenths of its distribution, a list such as
``Comedy|Drama`` or a category by its parts, a text by its n-grams. Rows of a block have length one,
so that columns compare alike.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.modalities.table import column_kinds
from feilun.modalities.table.blocks import Texts
from feilun.types import ColumnSample

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Described", "cells_of", "columns_of"]

MOST_COLUMNS = 200
_LONGEST = 1000  # characters of a cell
_TENTHS = 10
_PARTS = re.compile(r"\s*[|;,、，；/]\s*")
_LEAST = 2  # rows that a part must stand in
_MOST_PARTS = 5000


def columns_of(values: Mapping[str, Any], without: str) -> dict[str, Any]:
    """The cells of a row that say something, but the one that names it."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name == without or column_kinds.missing(value) or isinstance(value, bytes | list | dict):
            continue
        number = None if isinstance(value, bool) else column_kinds.number(value)
        plain = number is not None and np.isfinite(number)
        found[str(name)] = number if plain else column_kinds.word(value)[:_LONGEST]
    return dict(list(found.items())[:MOST_COLUMNS])


def cells_of(target: str) -> dict[str, Any]:
    """The columns of a description, as `families.ranking` writes them."""
    return dict(json.loads(target)["columns"])


class Described:
    """Blocks of features of descriptions. `state` is plain JSON: for each column its name and what
    was fitted."""

    def __init__(self, state: Sequence[Mapping[str, Any]]) -> None:
        self.state = list(state)

    @classmethod
    def fit(cls, rows: Sequence[Mapping[str, Any]]) -> Described:
        """Finds what the columns hold. Columns that never change, or never repeat and are no
        texts, say nothing and are left out."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        state: list[dict[str, Any]] = []
        for name in names:
            values = [row.get(name) for row in rows]
            kinds, _ = column_kinds.find([ColumnSample(name, values[:_LONGEST])], {})
            kind = kinds.get(name)
            known = [value for value in values if value is not None]
            if kind == "number":
                numbers = [float(one) for one in known if isinstance(one, int | float)]
                ends = _tenths(numbers)
                if ends and len(set(numbers)) > 1:
                    state.append({"name": name, "ends": ends})
            elif kind in ("category", "date", "text"):
                seen = Counter(part for one in known for part in set(_parts(one)))
                parts = [part for part, count in seen.most_common(_MOST_PARTS) if count >= _LEAST]
                several = any(len(_parts(one)) > 1 for one in known[:_LONGEST])
                if kind == "text" and not (several and len(parts) < len(known) / 10):
                    state.append({"name": name, **Texts.fit([str(one) for one in known])})
                elif parts:
                    state.append({"name": name, "parts": sorted(parts)})
        return cls(state)

    @property
    def names(self) -> list[str]:
        """The columns that are compared."""
        return [one["name"] for one in self.state]

    @cached_property
    def _places(self) -> list[dict[str, int]]:
        return [{part: n for n, part in enumerate(one.get("parts", ()))} for one in self.state]

    def blocks(self, rows: Sequence[Mapping[str, Any]]) -> list[csr_matrix]:
        """For each column a matrix (rows, its features), rows of length one or zero."""
        from scipy.sparse import csr_matrix

        found = []
        for one, places in zip(self.state, self._places, strict=True):
            values = [row.get(one["name"]) for row in rows]
            if "grams" in one:
                texts = [None if value is None else str(value) for value in values]
                found.append(Texts(one).transform(texts))
                continue
            held = [self._held(one, places, value) for value in values]
            ends = np.cumsum([0, *map(len, held)])
            weights = np.concatenate(
                [np.zeros(0), *(np.full(len(h), 1 / np.sqrt(max(1, len(h)))) for h in held)]
            )
            width = len(places) if "parts" in one else len(one["ends"]) + 1
            columns = np.array([place for h in held for place in h], np.int32)
            shape = (len(rows), width)
            found.append(csr_matrix((weights.astype(np.float32), columns, ends), shape))
        return found

    def _held(self, one: Mapping[str, Any], places: Mapping[str, int], value: Any) -> list[int]:
        """The features of a block that a cell has."""
        if value is None:
            return []
        if "parts" in one:
            return sorted({places[part] for part in _parts(value) if part in places})
        number = column_kinds.number(value)
        return [] if number is None else [bisect_right(one["ends"], number)]

    def words(self, column: int, feature: int) -> str:
        """A feature of a block in words: ``age 30 – 40``, ``genre: Comedy``."""
        one = self.state[column]
        if "parts" in one:
            return f"{one['name']}: {one['parts'][feature]}"
        if "ends" not in one:
            return str(one["name"])
        ends = ["", *(f"{end:g}" for end in one["ends"]), ""]
        return f"{one['name']} {ends[feature]} – {ends[feature + 1]}"


def _tenths(numbers: Sequence[float]) -> list[float]:
    if not numbers:
        return []
    return sorted({float(one) for one in np.quantile(numbers, np.arange(1, _TENTHS) / _TENTHS)})


def _parts(value: Any) -> list[str]:
    return [part for part in _PARTS.split(column_kinds.word(value)) if part]
