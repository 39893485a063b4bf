"""Values of a series that come with a call: of one that a version does not know, or newer ones than
it knows. As in GluonTS, they are a list with the time of its first value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from feilun.errors import InvalidData
from feilun.modalities.table import column_kinds

__all__ = ["HISTORY", "MOST", "START", "checked", "schemas"]

HISTORY, START = "history", "start"
MOST = 20_000
"""Values that a call may bring of one series."""
_LEAST = 3


def checked(row: Mapping[str, Any]) -> list[float]:
    """The ``history`` of a row: values, each one step after the other. Raises `InvalidData` for
    anything but a list of numbers, for fewer than three and for more than `MOST`, and where
    ``start`` is missing."""
    values = row[HISTORY]
    if not isinstance(values, list | tuple):
        raise InvalidData("forecasts.not_a_history", given=type(values).__name__)
    if not _LEAST <= len(values) <= MOST:
        raise InvalidData("forecasts.bad_history", given=len(values), least=_LEAST, limit=MOST)
    found = []
    for place, one in enumerate(values):
        real = None if isinstance(one, bool | dict | list) else column_kinds.number(one)
        if real is None or not math.isfinite(real):
            raise InvalidData("forecasts.not_a_value", place=place, given=str(one)[:40])
        found.append(float(real))
    if column_kinds.missing(row.get(START)):
        raise InvalidData("forecasts.needs_start", values=len(found))
    return found


def schemas() -> dict[str, Any]:
    """The JSON Schemas of both fields."""
    none = {"type": "null"}
    values = {"type": "array", "items": {"type": "number"}, "minItems": _LEAST, "maxItems": MOST}
    return {
        HISTORY: {
            "anyOf": [values, none],
            "description": "values of the series that the model does not have, one step apart",
        },
        START: {
            "anyOf": [{"type": "string"}, {"type": "number"}, none],
            "description": "the time of the first value of history",
        },
    }
