"""How often a series has a value: found from its times, and the way between times and steps.

Times are seconds since 1970 (UTC; a time without a zone is taken as it stands), or plain numbers
where rows are merely counted. A `Frequency` is a fixed length of seconds, some months, business
days, or a difference of numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from feilun.errors import InvalidData
from feilun.messages import t

__all__ = ["DAY", "Frequency", "find_frequency", "parse_frequency"]

DAY = 86_400
_HOUR = 3_600
_NEAR = 0.02
"""Part of a step by which a time may be off and still lie on the grid."""
_MONTHS = ((27.5, 31.5, 1), (88, 93, 3), (180, 185, 6), (364, 367, 12))
_NAMES = {"minute": (60, "s"), "hour": (_HOUR, "s"), "day": (DAY, "s"), "week": (7 * DAY, "s"),
          "business day": (1, "b"), "month": (1, "m"), "quarter": (3, "m"), "year": (12, "m"),
          "second": (1, "s")}  # fmt: skip
_LETTERS = {"s": "second", "min": "minute", "t": "minute", "h": "hour", "d": "day", "w": "week",
            "b": "business day", "m": "month", "ms": "month", "me": "month", "q": "quarter",
            "qs": "quarter", "qe": "quarter", "y": "year", "ys": "year", "ye": "year",
            "hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month",
            "quarterly": "quarter", "yearly": "year", "秒": "second", "分钟": "minute",
            "小时": "hour", "时": "hour", "天": "day", "日": "day", "周": "week",
            "工作日": "business day", "月": "month", "季": "quarter", "季度": "quarter",
            "年": "year"}  # fmt: skip
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)?\s*(.*)")


@dataclass(frozen=True, slots=True)
class Frequency:
    """`size` times a `unit`: ``s`` seconds, ``b`` business days (Monday to Friday), ``m`` months,
    ``n`` of the numbers that count the rows."""

    unit: Literal["s", "b", "m", "n"]
    size: float

    @property
    def text(self) -> str:
        """As `parse_frequency` reads it: ``30 minutes``, ``business day``, ``3 months``."""
        if self.unit == "n":
            return f"{self.size:.9g}"
        for name in ("year", "quarter", "month", "business day", "week", "day", "hour", "minute"):
            length, unit = _NAMES[name]
            if unit == self.unit and not self.size % length:
                many = int(self.size // length)
                return name if many == 1 else f"{many} {name}s"
        return f"{self.size:g} seconds"

    def words(self) -> str:
        """``30 minutes`` in the language in force."""
        for name, length, unit in (
            ("year", 12, "m"),
            ("quarter", 3, "m"),
            ("month", 1, "m"),
            ("business_day", 1, "b"),
            ("week", 7 * DAY, "s"),
            ("day", DAY, "s"),
            ("hour", _HOUR, "s"),
            ("minute", 60, "s"),
            ("second", 1, "s"),
        ):
            if unit == self.unit and not self.size % length:
                count = int(self.size // length)
                if count == 1:
                    return t(f"forecasts.every_{name}")
                return t(f"forecasts.every_{name}s", count=count)
        return t("forecasts.every_step", size=f"{self.size:g}")

    def steps(self, start: float, times: np.ndarray) -> np.ndarray:
        """How many steps each of `times` lies after `start`, float64: whole numbers on the grid."""
        times = np.asarray(times, np.float64)
        if self.unit == "m":
            months = _months(times) - _months(np.array([start]))[0]
            return np.asarray(months / self.size, np.float64)
        if self.unit == "b":
            days, first = _days(times), _days(np.array([start]))
            count = np.busday_count(np.broadcast_to(first, days.shape), days)
            # A weekend's value lies between Friday and Monday.
            return np.asarray(count - 0.5 * ~np.is_busday(days), np.float64)
        return np.asarray((times - start) / self.size, np.float64)

    def times(self, start: float, steps: np.ndarray) -> np.ndarray:
        """The times `steps` (whole numbers) after `start`, float64."""
        steps = np.asarray(steps, np.int64)
        if self.unit == "m":
            first = np.datetime64(int(start), "s")
            month = first.astype("datetime64[M]")
            inside = int(start) - int(month.astype("datetime64[s]").astype(np.int64))
            months = month + (steps * int(self.size)).astype("timedelta64[M]")
            begin = months.astype("datetime64[s]").astype(np.int64)
            after = (months + 1).astype("datetime64[s]").astype(np.int64)
            last = int((month + 1).astype("datetime64[s]").astype(np.int64)) - DAY
            if int(start) >= last:  # the last day of a month stays the last day
                return np.asarray(after - DAY + (int(start) - last), np.float64)
            return np.asarray(np.minimum(begin + inside, after - 1), np.float64)
        if self.unit == "b":
            days = np.busday_offset(_days(np.array([start])), steps, roll="forward")
            seconds = days.astype("datetime64[s]").astype(np.int64)
            return np.asarray(seconds + start % DAY, np.float64)
        return np.asarray(start + steps * self.size, np.float64)

    def seasons(self) -> list[int]:
        """Steps after which such series often repeat, the shortest first: a day, a week, a year."""
        if self.unit == "m":
            return [round(12 / self.size)] if self.size < 12 else []
        if self.unit == "b":
            return [5]
        if self.unit == "n":
            # A unit that is divided evenly is a season: R counts months as parts of years.
            one = round(1 / self.size) if self.size < 1 else 0
            return [one] if one > 1 and abs(one * self.size - 1) < _NEAR else []
        found = []
        for length in (_HOUR, DAY, 7 * DAY, 365.25 * DAY):
            steps = length / self.size
            if steps >= 2 and (steps.is_integer() or length > 300 * DAY):
                found.append(round(steps))
        return found if self.size < DAY else [one for one in found if one < 60 or self.size > DAY]

    @property
    def horizon(self) -> int:
        """How many values are usually wanted: those of the next day, two weeks, year."""
        if self.unit == "m":
            return {1: 12, 3: 8, 12: 4}.get(int(self.size), 6)
        if self.unit == "b":
            return 10
        if self.unit == "n":
            return (self.seasons() or [12])[0]
        if self.size < DAY:
            return max(2, round(DAY / self.size)) if self.size >= 300 else 60
        return 14 if self.size == DAY else 13


def parse_frequency(text: str) -> Frequency:
    """``h``, ``30 min``, ``business day``, ``3 months``, ``周``, or a number where rows are
    counted. Raises `InvalidData` for anything else, with what is allowed."""
    found = _WRITTEN.fullmatch(text.strip().casefold())
    number, word = found.groups() if found else (None, "")
    size = float(number) if number else 1.0
    name = _LETTERS.get(word, word.removesuffix("s"))
    if not word and number and size > 0:
        return Frequency("n", size)
    if name not in _NAMES or size <= 0:
        raise InvalidData("forecasts.bad_frequency", given=text[:40])
    length, unit = _NAMES[name]
    return Frequency(unit, size * length)  # type: ignore[arg-type]


def find_frequency(series: Sequence[np.ndarray], dated: bool) -> Frequency | None:
    """The frequency that most steps between neighbours of these sorted, different times have; None
    without two times in any series. `dated` tells that times are no plain numbers."""
    steps = [np.diff(times) for times in series if len(times) > 1]
    if not steps:
        return None
    every = np.concatenate(steps)
    usual = float(np.median(every))
    if not dated:
        return Frequency("n", _usual(every, usual))
    for low, high, months in _MONTHS:
        if low * DAY <= usual <= high * DAY:
            return Frequency("m", months)
    if usual == DAY:
        days = np.concatenate([_days(times) for times in series])
        if len(days) >= 10 and np.is_busday(days).all():
            return Frequency("b", 1)
    return Frequency("s", _usual(every, usual))


def _usual(steps: np.ndarray, usual: float) -> float:
    """The most frequent step, where it is as frequent as to be one; else the median."""
    rounded = [float(f"{step:.6g}") for step in steps]
    step, count = Counter(rounded).most_common(1)[0]
    if count * 3 < len(rounded):  # such as 0.083333 and 0.083334
        return usual
    return float(np.median([a for a, b in zip(steps, rounded, strict=True) if b == step]))


def _days(times: np.ndarray) -> np.ndarray:
    whole = np.floor_divide(times, DAY).astype(np.int64)
    return np.asarray(whole.astype("datetime64[D]"))


def _months(times: np.ndarray) -> np.ndarray:
    stamps = np.asarray(times, np.float64).astype(np.int64).astype("datetime64[s]")
    return np.asarray(stamps.astype("datetime64[M]").astype(np.int64))
