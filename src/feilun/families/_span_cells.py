"""Spans as cells and callers write them: lists, their JSON, and the names that tools give them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from feilun.errors import InvalidData
from feilun.metrics.spans import Span

__all__ = ["listed", "span"]

_STARTS = ("start", "start_offset")
_ENDS = ("end", "end_offset")
_LABELS = ("label", "entity_group", "labels", "entity", "type", "tag")
_LONGEST = 100


def listed(value: Any) -> list[Any] | None:
    """What `value` lists; None where it says nothing. Raises `InvalidData` for what is no list."""
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InvalidData("spans.not_json", given=value[:40]) from None
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, Mapping):
        value = value.get("entities", value.get("spans", value))
    if not isinstance(value, list | tuple):
        raise InvalidData("spans.not_a_list", given=type(value).__name__)
    return list(value)


def span(value: Any, place: int) -> Span:
    """The span that the `place`-th entry of a list, counted from 1, tells: a mapping with start,
    end and label, or these three in a list. Raises `InvalidData` for what is none."""
    if isinstance(value, Mapping):
        start, end, label = (_first(value, names) for names in (_STARTS, _ENDS, _LABELS))
        if isinstance(label, list) and len(label) == 1:  # Label Studio
            label = label[0]
    elif isinstance(value, list | tuple) and len(value) == 3:
        start, end, label = value
    else:
        raise InvalidData("spans.no_span", place=place, given=str(value)[:60])
    offsets = [_offset(one) for one in (start, end)]
    if None in offsets:
        raise InvalidData("spans.no_offsets", place=place, start=start, end=end)
    begin, stop = (int(one) for one in offsets if one is not None)
    if not 0 <= begin < stop:
        raise InvalidData("spans.bad_offsets", place=place, start=begin, end=stop)
    if not isinstance(label, str) or not label.strip():
        raise InvalidData("spans.no_label", place=place, start=begin, end=stop)
    label = label.strip()
    if len(label) > _LONGEST:
        raise InvalidData("tasks.label_too_long", start=label[:40], length=len(label),
                          limit=_LONGEST)  # fmt: skip
    return begin, stop, label


def _first(value: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((value[name] for name in names if name in value), None)


def _offset(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
