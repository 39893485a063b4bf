"""Values of records where they stand in a text: as they are, as numbers and as dates written in
other ways (``1.234,50`` for 1234.5, ``3 March 2024`` for 2024-03-03)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from math import isfinite
from typing import Any, Literal

from feilun.modalities.text.sequence import Tokens
from feilun.numerals import parse

__all__ = ["READINGS", "Reading", "candidates", "places", "value_of"]

Reading = Literal["text", "point", "comma", "day_first", "month_first"]
"""How what stands in a text becomes a value: as it is, a number with a point or a comma before
decimals, a date with the day or the month first where it could be either."""
READINGS: tuple[Reading, ...] = ("text", "point", "comma", "day_first", "month_first")

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<month>(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)\.?"
_NUMBER = re.compile(
    r"[-+−]?\d(?:[\d.,'’]|[ \u00a0\u202f](?=\d{3}(?!\d)))*(?<![.,'’])(?:[万萬億亿])?"
)
_DATES = tuple(
    re.compile(one, re.IGNORECASE)
    for one in (
        r"(?<!\d)(?P<year>\d{4})\s*[-./年]\s*(?P<second>\d{1,2})\s*[-./月]\s*(?P<third>\d{1,2})日?(?!\d)",
        r"(?<![\d.])(?P<first>\d{1,2})\s?[-./]\s?(?P<second>\d{1,2})\s?[-./]\s?(?P<year>\d{4}|\d{2})(?!\d)",
        rf"(?<!\d)(?P<first>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?{_MONTH},?\s+(?P<year>\d{{4}})",
        rf"{_MONTH}\s+(?P<first>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})",
    )
)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")


def value_of(written: str, reading: Reading) -> Any:
    """The value of a piece of text. Raises `ValueError` for what is none."""
    if reading == "text":
        return written
    if reading in ("point", "comma"):
        number = parse(written, "." if reading == "point" else ",")
        if not isfinite(number):
            raise ValueError(written)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    found = next((each for one in _DATES if (each := one.fullmatch(written.strip()))), None)
    if found is None:
        raise ValueError(written)
    return _date(found, reading == "day_first")


def places(text: str, value: Any, reading: Reading, found: Tokens) -> list[tuple[int, int]]:
    """Where `value` stands in `text`, first character and the one after the last; `found` are the
    tokens of the text, at whose ends it has to begin and end."""
    if reading == "text":
        written = value if isinstance(value, str) else None
        return list(_verbatim(text, written, found)) if written else []
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number != (reading in ("point", "comma")):
        return []
    if not is_number and not (isinstance(value, str) and _ISO.fullmatch(value)):
        return []
    known = []
    for start, end in candidates(text, reading):
        try:
            one = value_of(text[start:end], reading)
        except ValueError:
            continue
        if one == value:
            known.append((start, end))
    return known


def candidates(text: str, reading: Reading) -> Iterator[tuple[int, int]]:
    """The pieces of `text` that may be read so, in their order; none for ``text``."""
    patterns: tuple[re.Pattern[str], ...] = ()
    if reading in ("point", "comma"):
        patterns = (_NUMBER,)
    elif reading != "text":
        patterns = _DATES
    for one in patterns:
        for match in one.finditer(text):
            yield match.span()


def _verbatim(text: str, value: str, found: Tokens) -> Iterator[tuple[int, int]]:
    starts, ends = {start for start, _ in found}, {end for _, end in found}
    at = text.find(value)
    while at >= 0:
        end = at + len(value)
        if at in starts and end in ends:
            yield at, end
        at = text.find(value, at + 1)


def _date(found: re.Match[str], day_first: bool) -> str:
    parts: dict[str, str | None] = found.groupdict()
    year = int(parts["year"] or 0)
    year += 2000 if year < 100 else 0
    if name := parts.get("month"):
        day, month = int(parts["first"] or 0), _MONTHS.index(name[:3].casefold()) + 1
    elif parts.get("third"):
        month, day = int(parts["second"] or 0), int(parts["third"] or 0)
    else:
        one, other = int(parts["first"] or 0), int(parts["second"] or 0)
        day, month = (one, other) if day_first else (other, one)
        if month > 12:  # which it cannot be
            day, month = month, day
    return date(year, month, day).isoformat()
