"""What a label is: the text in a cell, and the order of a schema."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from feilun.errors import InvalidData

__all__ = ["MAX_LABEL_LENGTH", "label_of", "order_labels"]

MAX_LABEL_LENGTH = 200
"""Characters of a label: a longer cell is taken for a wrong column, not for a label."""


def label_of(value: Any) -> str | None:
    """The label in a cell, trimmed; whole floats lose their ``.0``. None for an empty cell or NaN.

    Raises `InvalidData` for bytes and for more than `MAX_LABEL_LENGTH` characters.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bytes):
        raise InvalidData("tasks.label_is_bytes")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    if len(text) > MAX_LABEL_LENGTH:
        raise InvalidData(
            "tasks.label_too_long", start=text[:40], length=len(text), limit=MAX_LABEL_LENGTH
        )
    return text or None


def order_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Distinct labels in a stable order: by value when all are numbers (2 before 10), else by code
    point."""
    distinct = set(labels)
    numbers = {label: _number(label) for label in distinct}
    if all(number is not None for number in numbers.values()):
        return tuple(sorted(distinct, key=lambda label: (numbers[label], label)))
    return tuple(sorted(distinct))


def _number(label: str) -> float | None:
    try:
        number = float(label)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
