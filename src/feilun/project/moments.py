"""Dates and loads as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from feilun.errors import InvalidData

__all__ = ["moment_of", "per_second", "share_of"]

_SPANS = {"s": 1, "min": 60, "h": 3600, "day": 86400}
_LOAD = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|min|h|day)")


def moment_of(text: str | None, now: datetime | None = None) -> datetime | None:
    """``2026-12-01`` as its first moment in UTC, or a whole ISO 8601 time; of today: now, which is
    None. Raises `InvalidData` for anything else."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidData("plans.date", given=text) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    today = (now or datetime.now(UTC)).date()
    return None if len(text) == 10 and moment.date() == today else moment


def per_second(text: str) -> float:
    """``3/s``, ``200/min``, ``5000/h`` or ``100000/day`` as a number a second. Raises
    `InvalidData`."""
    found = _LOAD.fullmatch(text.strip())
    if found is None:
        raise InvalidData("billing.load_range", given=text)
    return float(found[1]) / _SPANS[found[2]]


def share_of(text: str) -> float:
    """``60%`` or ``0.6`` as a part of one. Raises `InvalidData`."""
    number = text.strip().removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        raise InvalidData("billing.margin_range", given=text) from None
    return value / 100 if text.strip().endswith("%") else value
