"""Values of options that carry ``name=value``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from feilun.errors import UsageError

__all__ = ["pairs", "settings"]


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


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
