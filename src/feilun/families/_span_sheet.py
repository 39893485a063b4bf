"""All versions' spans beside the true ones."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from feilun.families._claims import ClaimSheet
from feilun.families._spans_said import canonical, plain, words
from feilun.metrics.spans import Span

__all__ = ["SpanSheet"]


class SpanSheet(ClaimSheet):
    """All versions' spans beside the true ones."""

    def _claimed(self, raw: Any) -> Collection[Span]:
        return plain(raw)

    def _true(self, truth: Any) -> Collection[Span]:
        spans: tuple[Span, ...] = truth
        return spans

    def _canonical(self, row: int) -> str:
        return canonical(self._given[row])

    def _say(self, raw: Any) -> str:
        return words(raw)

    def _say_true(self, row: int) -> str:
        return words(self._given[row])
