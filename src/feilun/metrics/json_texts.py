"""Texts that are JSON objects, as language models write them."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["as_object", "equal"]

_FENCE = re.compile(r"\s*```[\w+-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```\s*", re.DOTALL)


def as_object(text: str) -> dict[str, Any] | None:
    """The JSON object that `text` is, also in a code fence; None for any other text. A whole number
    is one however it is written."""
    fenced = _FENCE.fullmatch(text)
    text = (fenced[1] if fenced else text).strip()
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_number)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two objects are the same but for the order of names. True is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _refuse(name: str) -> Any:
    raise ValueError(name)
