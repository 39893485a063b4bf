"""Values of options that carry ``name=value``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from feilun.errors import UsageError

__all__ = ["duration", "pairs", "settings", "stated"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = 366 * 86_400


def pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """``["text=review"]`` as ``{"text": "review"}``. Raises `UsageError` for one without ``=``."""
    found: dict[str, str] = {}
    for entry in given or ():
        name, equals, value = entry.partition("=")
        if not equals or not name.strip():
            raise UsageError("cli.not_a_pair", option=option, value=entry)
        found[name.strip()] = value.strip()
    return found


def settings(given: Sequence[str] | None) -> dict[str, Any]:
    """``["training.epochs=2"]`` with values as TOML would have them: numbers, booleans, lists;
    what is none of these is text."""
    return {name: _value(text) for name, text in pairs("--set", given).items()}


def duration(option: str, text: str) -> timedelta:
    """``90s``, ``30m``, ``24h``, ``7d`` or ``0`` as a time, of a year at most. Raises
    `UsageError`."""
    match = re.fullmatch(r"(0)|([0-9]{1,8})([smhd])", text.strip())
    if match is None:
        raise UsageError("cli.not_a_duration", option=option, value=text)
    seconds = 0 if match[1] else int(match[2]) * _SECONDS[match[3]]
    if seconds > _LONGEST:
        raise UsageError("cli.not_a_duration", option=option, value=text)
    return timedelta(seconds=seconds)


def stated(**options: Any) -> dict[str, Any]:
    """Those of `options` that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
