"""What a family says to a language model that answers in JSON: the schema of an answer, an example
of one, and what a written one means. Where answers are not to be had so, there is no schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

__all__ = ["Instructed", "mapping"]


class Instructed:
    """The questions; `Family` extends it."""

    converses: ClassVar[bool] = False
    """Whether its inputs are conversations, and its answers what is said next."""

    def json_schema(self, labels: Sequence[str]) -> dict[str, Any] | None:
        """JSON Schema of one answer as a language model writes it; None where it cannot."""
        return None

    def record(self, target: str) -> Mapping[str, Any] | None:
        """The JSON object that a canonical target states, where it states one. Default: None."""
        return None

    def json_answer(self, target: str, item: Any) -> Any:
        """A canonical target as JSON of that schema, for an example."""
        raise NotImplementedError

    def json_raw(self, value: Any, item: Any, labels: Sequence[str], sure: float) -> Any:
        """The raw output (one row) that JSON of that schema means for `item`, written with the mean
        probability `sure`; what says nothing where `value` is None or not of the schema."""
        raise NotImplementedError


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` where it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}
