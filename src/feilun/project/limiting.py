"""Limits as people type them: ``rate=20``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from feilun.billing.limits import LimitSettings
from feilun.errors import InvalidData

__all__ = ["limits_of"]

_WHOLE = ("burst", "concurrency", "monthly_inputs")


def limits_of(typed: Iterable[str]) -> dict[str, Any]:
    """``["rate=20", "monthly_budget=12.50", "burst="]`` as the fields of `LimitSettings`; an empty
    value is None, which takes a limit away. Raises `InvalidData` for what names no limit; whether
    the values may be so is checked by `feilun.billing.limits.parse_limits`."""
    found: dict[str, Any] = {}
    for text in typed:
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or name not in LimitSettings.model_fields:
            options = list(LimitSettings.model_fields)
            raise InvalidData("plans.limit_form", given=text, options=options)
        found[name] = _number(name, value) if value else None
    return found


def _number(name: str, value: str) -> Any:
    """Numbers as numbers; money stays the text that it is."""
    try:
        return int(value) if name in _WHOLE else float(value) if name == "rate" else value
    except ValueError:
        return value
