"""Spans as canonical text, as answers, and as people read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from feilun.errors import InvalidData
from feilun.metrics.spans import Span
from feilun.types import Output

__all__ = ["Found", "canonical", "checked", "of_answer", "plain", "spans_of", "words"]


class Found(NamedTuple):
    """A span that a model found: its first character, the one after its last, its kind, how
    probable it is, and what stands there."""

    start: int
    end: int
    label: str
    score: float
    word: str


def spans_of(target: str) -> tuple[Span, ...]:
    """The spans of a canonical target; none for a text that is not one."""
    if not target.startswith("["):
        return ()
    return tuple((one["start"], one["end"], one["label"]) for one in json.loads(target))


def checked(spans: list[Span]) -> list[Span]:
    """In their order; a span that is given twice counts once. Raises `InvalidData` for two that
    overlap."""
    ordered = sorted(set(spans))
    for one, other in pairwise(ordered):
        if other[0] < one[1]:
            raise InvalidData("spans.overlap", first=words([one]), second=words([other]))
    return ordered


def canonical(spans: Iterable[Span]) -> str:
    """The canonical target of spans in any order."""
    listed = [{"start": start, "end": end, "label": label} for start, end, label in sorted(spans)]
    return msgspec.json.encode(listed).decode()


def of_answer(output: Output) -> tuple[Span, ...]:
    """The spans that an answer lists."""
    return tuple((one["start"], one["end"], one["entity_group"]) for one in output["entities"])


def plain(row: Iterable[Found]) -> tuple[Span, ...]:
    """The spans of a row of raw outputs."""
    return tuple((one.start, one.end, one.label) for one in row)


def words(row: Iterable[Sequence[Any]]) -> str:
    """``PER 0–5 (Maria); LOC 16–22``; a dash for no span."""
    return (
        "; ".join(
            f"{one[2]} {one[0]}–{one[1]}" + (f" ({one[4]})" if len(one) > 4 else "") for one in row
        )
        or "–"
    )
