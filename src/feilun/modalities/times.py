"""When a row was: seconds since 1970 out of what files hold."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from feilun.errors import InvalidData
from feilun.types import Scalar

__all__ = ["NAMES", "DayOrder", "day_order", "is_clock", "moment", "written_out"]

NAMES = (
    "time", "date", "datetime", "timestamp", "created_at", "created", "updated_at",
    "时间", "日期", "创建时间", "评论时间", "发布时间",
)  # fmt: skip
"""Names that the column of times often has."""

_CHINESE = re.compile(r"(\d{4})\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*[日号]\s*(?:星期.|周.)?\s*")
_LOOSE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T\s]+(.*))?$")
_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:,?\s+(.*))?$")
_EITHER = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[./-])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4}|\d{2})"
    r"(?:,?\s+(?P<rest>.*))?$"
)
"""13/04/2026, 4/13/26 9:05 PM, 13-04-2026, 13.04.26: the year is at the end."""
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar jänner", "feb february februar feber", "mar march mär märz mrz",
            "apr april", "may mai", "jun june juni", "jul july juli", "aug august",
            "sep sept september", "oct october okt oktober", "nov november",
            "dec december dez dezember",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?"
_END = r"(?P<year>\d{4})(?:(?:,|\s+at|\s+um)?\s+(?P<rest>.*?)(?:\s+uhr)?)?$"
_WORDED = [
    re.compile(r"(?:[^\W\d]{2,10}\.?,?\s+)?" + form + _END, re.IGNORECASE)
    for form in (rf"{_DAY}(?:\s+of)?[-\s]+{_MONTH}[-\s]+", rf"{_MONTH}\s+{_DAY},?\s+")
]
"""March 1, 2026 at 3:05 PM; Sun, 1 Mar 2026 15:05:00 +0000; 1. März 2026 um 15:05 Uhr."""
_CLOCK = re.compile(
    r"(上午|下午|凌晨|早上|中午|晚上|am|pm)?\s*(\d{1,2})[:时点](\d{1,2})(?:[:分](\d{1,2})(?:[.,](\d+))?)?"
    r"[分秒]?\s*(am|pm|a\.m\.|p\.m\.)?\s*(z|utc|gmt|[-+]\d{2}:?\d{2}|[-+]\d{1,2})?$",
    re.I,
)
_DIGITS = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?")
_MILLISECONDS = 1e11
_SERIAL_DAY = -2_209_161_600  # 30 December 1899, from which spreadsheets count days
_SERIALS = (20_000, 80_000)  # 1954 to 2119; as seconds these would all be of 1 January 1970


def moment(value: Scalar, column: str) -> float | None:
    """Seconds since 1970; None for an empty cell. Taken are seconds and milliseconds since 1970,
    a spreadsheet's days since 1899, and dates with the year first (2026-03-01, 20260301,
    2026年3月1日), with points (01.03.2026) or with the month's English or German name (1 March
    2026, Mar 1, 2026, 1. März 2026), or with slashes where they are one day only (13/04/2026), with
    or without a time of day; without a zone it is UTC. Raises `InvalidData` for anything else, and
    for 01/02/2026, which is two different days: `written_out` says which by its column."""
    if value is None or value != value:
        return None
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        found = _number(text) if _DIGITS.fullmatch(text) else _date(text)
    elif isinstance(value, int | float):
        whole = float(value).is_integer()
        found = _number(f"{value:.0f}") if whole else _of_number(float(value))
    else:
        found = None
    if found is None or not math.isfinite(found):
        raise InvalidData("splits.bad_time", column=column, given=str(value)[:40])
    return found


def _number(text: str) -> float | None:
    if "." in text:  # 20260131235959.0, as a table of numbers writes it
        text = text.rstrip("0").rstrip(".")
    if len(text) in (8, 12, 14) and text[:2] in ("19", "20") and text.isdigit():
        # 20260131 is a day, 20260131235959 a second of it; 13 digits are milliseconds.
        day = f"{text[:4]}-{text[4:6]}-{text[6:8]}"
        clock = ":".join(text[i : i + 2] for i in range(8, len(text), 2))
        return _date(f"{day} {clock}".strip())
    return _of_number(float(text))


def _of_number(number: float) -> float:
    if _SERIALS[0] <= number < _SERIALS[1]:
        return _SERIAL_DAY + round(number * 86_400, 3)
    return number / 1000 if abs(number) >= _MILLISECONDS else number


def _date(text: str) -> float | None:
    text = unicodedata.normalize("NFKC", text)
    loose = _LOOSE.match(_CHINESE.sub(r"\1-\2-\3 ", text).strip())
    pointed = _DAY_FIRST.match(text)
    worded = next((found for form in _WORDED if (found := form.match(text.strip()))), None)
    try:
        if loose:
            year, month, day, rest = loose.groups()
        elif pointed:
            day, month, year, rest = pointed.groups()
        elif worded:
            day, year, rest = worded["day"], worded["year"], worded["rest"]
            month = str(_MONTHS[worded["month"].lower()])
        elif either := _either(text):
            days = {day for first in (True, False) if (day := _day_of(either, first))}
            if len(days) != 1:
                return None
            return _date(_iso(days.pop(), either["rest"]))
        else:
            when = datetime.fromisoformat(text)
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        iso = f"{year}-{month:>02}-{day:>02}"
        when = datetime.fromisoformat(iso + (f"T{_clock(rest.strip())}" if rest else ""))
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True, slots=True)
class DayOrder:
    """Whether the day or the month stands first in a column's dates; `day_first` is None where some
    cells say one and some the other. `assumed` where no cell shows it. `example` is a cell that
    does, or that could be either; of both orders one of each."""

    day_first: bool | None
    assumed: bool
    example: str


def day_order(values: Iterable[Any], given: bool | None = None) -> DayOrder | None:
    """How the dates of a column of `values` are written; None where not all of its filled cells are
    dates with the year at the end, or where all are read without it (13.04.2026). A number above 12
    is a day; where there is none the day is taken to stand first. `given` is what the user says of
    cells that could be either."""
    shown: dict[bool, str] = {}
    example, plain = "", True
    for value in values:
        if value is None or value != value or (isinstance(value, str) and not value.strip()):
            continue
        found = _either(value)
        if found is None:
            return None
        pointed = found["mark"] == "."
        plain = plain and pointed and len(found["year"]) == 4
        able = [one for one in ((True,) if pointed else (True, False)) if _day_of(found, one)]
        if not able:
            return None
        if not pointed and len(able) == 1:
            shown.setdefault(able[0], found.string)
        example = example or found.string
    if plain:
        return None
    if given is not None:
        return DayOrder(given, False, shown.get(given, example))
    if len(shown) == 2:
        return DayOrder(None, False, f"{shown[True]}, {shown[False]}")
    for first, cell in shown.items():
        return DayOrder(first, False, cell)
    return DayOrder(True, any(mark in example for mark in "/-"), example)


def is_clock(text: str) -> bool:
    """Whether `text` is a time of day, with a zone or without."""
    return _CLOCK.match(text) is not None


def written_out(text: str, day_first: bool) -> str:
    """A date with the year at the end as 2026-04-13, its time of day behind it. Where there is no
    such day it is read in the other order; points always stand behind the day. Raises `ValueError`
    for what is no such date."""
    found = _either(text)
    orders = (True,) if found and found["mark"] == "." else (day_first, not day_first)
    day = found and next((one for first in orders if (one := _day_of(found, first))), None)
    if not found or not day:
        raise ValueError(text)
    return _iso(day, found["rest"])


def _iso(day: date, rest: str | None) -> str:
    return day.isoformat() + (f" {rest}" if rest else "")


def _either(value: Any) -> re.Match[str] | None:
    if not isinstance(value, str):
        return None
    found = _EITHER.match(unicodedata.normalize("NFKC", value).strip())
    if not found or (found["rest"] and not _CLOCK.match(found["rest"].strip())):
        return None
    # 01-02-03 may begin with its year.
    return None if found["mark"] == "-" and len(found["year"]) == 2 else found


def _day_of(found: re.Match[str], day_first: bool) -> date | None:
    """The day with the numbers in this order; of two digits the years are 1969 to 2068."""
    first, second, year = int(found["first"]), int(found["second"]), int(found["year"])
    if len(found["year"]) == 2:
        year += 2000 if year < 69 else 1900
    try:
        return date(year, second, first) if day_first else date(year, first, second)
    except ValueError:
        return None


def _clock(text: str) -> str:
    """A time of day in the form of ISO 8601; `text` itself where it is in another form."""
    found = _CLOCK.match(text)
    if not found:
        return text
    before, hour, minute, second, fraction, after, zone = found.groups()
    half = (before or after or "").lower().replace(".", "")
    number = int(hour)
    if (half in ("下午", "晚上", "pm") and number < 12) or (half == "中午" and number < 11):
        number += 12
    elif half in ("上午", "凌晨", "am") and number == 12:
        number = 0
    zone = (zone or "").upper()
    if zone in ("UTC", "GMT", "Z"):
        zone = "+00:00"
    elif zone and ":" not in zone:
        zone = f"{zone[0]}{zone[1:3]:>02}:{zone[3:] or '00'}"
    part = f".{fraction[:6]:0<6}" if fraction else ""
    return f"{number:02}:{int(minute):02}:{int(second or 0):02}{part}{zone}"
