"""Records as cells, callers and language models write them: JSON objects of named fields.

A field is called by its path: ``total``, or ``customer.name`` for one inside another object. A
value is a text, a number, true or false, or a list of these. What is null, "" or empty says
nothing: a record that lacks the field is equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from feilun.errors import InvalidData

__all__ = ["Flat", "canonical", "flat", "listed", "nested"]

Flat = dict[str, Any]
"""The values of a record by their paths, in its order."""

_MOST = 200
_DEEPEST = 6
_LONGEST = 100_000


def listed(value: Any) -> Mapping[str, Any] | None:
    """The object that a cell holds, itself or as JSON; None where it says nothing. Raises
    `InvalidData` for anything else."""
    if isinstance(value, str):
        if not value.strip():
            return None
        if len(value) > _LONGEST:
            raise InvalidData("records.too_long", length=len(value), limit=_LONGEST)
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InvalidData("records.not_json", given=value[:60]) from None
    if value is None or (isinstance(value, float) and value != value):
        return None
    if not isinstance(value, Mapping):
        raise InvalidData("records.no_object", given=type(value).__name__)
    return value


def flat(record: Mapping[str, Any]) -> Flat:
    """The fields that say something. Raises `InvalidData` for a name that is none, values that are
    objects in lists, numbers that JSON has not, and for too many or too deep ones."""
    found: Flat = {}
    _flatten(record, "", found, 1)
    if len(found) > _MOST:
        raise InvalidData("records.too_many", given=len(found), limit=_MOST)
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """The record of which `values` are the fields, in their order."""
    found: dict[str, Any] = {}
    for path, value in values.items():
        inner = found
        *above, name = path.split(".")
        for part in above:
            held = inner.setdefault(part, {})
            if not isinstance(held, dict):  # another row has a value where this has an object
                held = inner[part] = {}
            inner = held
        inner[name] = value
    return found


def canonical(values: Mapping[str, Any]) -> str:
    """The one text of a record: names sorted, no space."""
    return json.dumps(nested(values), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _flatten(value: Mapping[str, Any], before: str, found: Flat, depth: int) -> None:
    if depth > _DEEPEST:
        raise InvalidData("records.too_deep", limit=_DEEPEST, path=before[:80])
    for name, one in value.items():
        if not name.strip() or "." in name:
            raise InvalidData("records.bad_name", given=str(name)[:80])
        path = f"{before}{name}"
        if isinstance(one, Mapping):
            _flatten(one, f"{path}.", found, depth + 1)
        elif isinstance(one, list | tuple):
            parts = [part for each in one if (part := _scalar(each, path)) is not None]
            if parts:
                found[path] = parts
        elif (scalar := _scalar(one, path)) is not None:
            found[path] = scalar


def _scalar(value: Any, path: str) -> str | int | float | bool | None:
    if isinstance(value, str):
        text = value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text.strip() or None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, float) and value != value:  # an empty cell of a table
        return None
    raise InvalidData("records.bad_value", path=path[:80], given=type(value).__name__)
