"""Times of series as people write them: all dates that `times.moment` knows, and months, quarters
and years."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from feilun.errors import InvalidData
from feilun.modalities.table.column_kinds import missing, number
from feilun.modalities.times import moment

__all__ = ["dated", "when"]

_YEAR = r"((?:19|20|21)\d{2})"
_MONTH = re.compile(rf"{_YEAR}\s*[-/.年mM]\s*(\d{{1,2}})\s*月?")
_MONTH_WHOLE = re.compile(rf"{_YEAR}(\d{{2}})")
_MONTH_NAME = re.compile(rf"([a-z]{{3}})[a-z]*[\s\-.,]+{_YEAR}")
_NAME_MONTH = re.compile(rf"{_YEAR}[\s\-.,]+([a-z]{{3}})[a-z]*")
_QUARTER = re.compile(rf"{_YEAR}\s*[-年]?\s*(?:[qQ]|第)?\s*([1-4一二三四])\s*(?:季度|季)?")
_QUARTER_FIRST = re.compile(rf"[qQ]([1-4])\s*[-/]?\s*{_YEAR}")
_YEAR_ALONE = re.compile(rf"{_YEAR}\s*年?")
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CHINESE = {"一": 1, "二": 2, "三": 3, "四": 4}
_EPOCH_LEAST = 1e8
_SERIALS = (20_000, 80_000)


def when(value: Any, column: str) -> float:
    """Seconds since 1970 of a date, a month, a quarter or a year (of which the first day counts).
    Raises `InvalidData` for what is none."""
    if isinstance(value, str):
        found = _period(unicodedata.normalize("NFKC", value).strip())
        if found is not None:
            return found
    elif isinstance(value, float) and value.is_integer() and 190_001 <= value <= 210_012:
        found = _period(str(int(value)))
        if found is not None:
            return found
    elif type(value) is int and 190_001 <= value <= 210_012:
        found = _period(str(value))
        if found is not None:
            return found
    if isinstance(value, float) and value.is_integer() and 19_000_101 <= value <= 21_001_231:
        value = str(int(value))
    if type(value) is int and 19_000_101 <= value <= 21_001_231:
        value = str(value)
    seconds = moment(value, column)
    if seconds is None:
        raise InvalidData("forecasts.needs_time")
    return seconds


def dated(values: Sequence[Any]) -> bool:
    """Whether a column holds dates, rather than numbers that count its rows. Years alone count."""
    filled = [value for value in values if not missing(value)]
    numbers = [number(value) for value in filled]
    known = [value for value in numbers if value is not None]
    if not filled or len(known) < len(filled):
        return True
    whole = all(value.is_integer() for value in known)
    low, high = min(known), max(known)
    if low >= _EPOCH_LEAST or (whole and low >= 19_000_101 and high <= 21_001_231):
        return True
    if whole and low >= 190_001 and high <= 210_012:
        return all(1 <= int(value) % 100 <= 12 for value in known)
    return whole and _SERIALS[0] < low and high < _SERIALS[1]


def _period(text: str) -> float | None:
    """The first day of a month, a quarter or a year; None where `text` is none of them."""
    lower = text.casefold()
    if (found := _MONTH.fullmatch(lower)) or (found := _MONTH_WHOLE.fullmatch(lower)):
        year, month = int(found[1]), int(found[2])
    elif found := _MONTH_NAME.fullmatch(lower):
        year, month = int(found[2]), _month(found[1])
    elif found := _NAME_MONTH.fullmatch(lower):
        year, month = int(found[1]), _month(found[2])
    elif found := _YEAR_ALONE.fullmatch(lower):
        year, month = int(found[1]), 1
    elif found := _QUARTER.fullmatch(text):
        year, month = int(found[1]), 3 * (_CHINESE.get(found[2]) or int(found[2])) - 2
    elif found := _QUARTER_FIRST.fullmatch(text):
        year, month = int(found[2]), 3 * int(found[1]) - 2
    else:
        return None
    return datetime(year, month, 1, tzinfo=UTC).timestamp() if 1 <= month <= 12 else None


def _month(name: str) -> int:
    return _NAMES.index(name) + 1 if name in _NAMES else 0
