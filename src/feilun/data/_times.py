"""When a row was: seconds since 1970 out of what files hold."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from feilun.errors import InvalidData
from feilun.types import Scalar

__all__ = ["NAMES", "moment"]

NAMES = (
    "time", "date", "datetime", "timestamp", "created_at", "created", "updated_at",
    "时间", "日期", "创建时间", "评论时间", "发布时间",
)  # fmt: skip
"""Names that the column of times often has."""

_CHINESE = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日\s*")
_LOOSE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T\s]+(.*))?$")
_MILLISECONDS = 1e11


def moment(value: Scalar, column: str) -> float | None:
    """Seconds since 1970; None for an empty cell. Taken are seconds and milliseconds since 1970,
    and dates with the year first, with or without a time of day; without a zone it is UTC. Raises
    `InvalidData` for anything else."""
    if value is None or value != value:
        return None
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        found = _number(text) if text.replace(".", "", 1).isdigit() else _date(text)
    else:
        found = float(value) if isinstance(value, int | float) else None
    if found is None or not math.isfinite(found):
        raise InvalidData("splits.bad_time", column=column, given=str(value)[:40])
    return found / 1000 if abs(found) >= _MILLISECONDS else found


def _number(text: str) -> float | None:
    if len(text) == 8 and text[:2] in ("19", "20"):  # 20260131 is a day
        return _date(f"{text[:4]}-{text[4:6]}-{text[6:]}")
    return float(text)


def _date(text: str) -> float | None:
    loose = _LOOSE.match(_CHINESE.sub(r"\1-\2-\3 ", text).strip())
    if loose:
        year, month, day, rest = loose.groups()
        text = f"{year}-{month:>02}-{day:>02}" + (f"T{rest.strip()}" if rest else "")
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
