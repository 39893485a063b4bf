"""What all targets together show: the audit's findings that only a family or a task can see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from feilun.types import Item

__all__ = ["PairTally", "Peculiarity", "Tally"]


@dataclass(frozen=True, slots=True)
class Peculiarity:
    """Something that all targets together show: the `code` of a finding of the audit, how bad it
    is, and that it concerns `count` of `of` labels or rows; some of its `rows` by their place."""

    code: str
    severity: Literal["info", "warn", "bad"]
    count: int
    of: int
    params: Mapping[str, Any]
    rows: Sequence[int] = ()


class Tally(Protocol):
    """Looks at targets one after the other, and then says what they show."""

    def add(self, target: str, count: int = 1) -> None:
        """`count` rows with the canonical `target`."""

    def findings(self) -> Sequence[Peculiarity]:
        """What there is to say."""


class PairTally(Protocol):
    """Looks at inputs with their targets one after the other, and then says what they show."""

    def add(self, row: int, item: Item, target: str) -> None:
        """The checked `item` of the row at this place, with its canonical `target`."""

    def findings(self) -> Sequence[Peculiarity]:
        """What there is to say."""
