"""What all classifiers share: labels and their order, answers from logits, the output's schema."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from feilun.errors import InvalidData
from feilun.metrics.probabilities import softmax
from feilun.metrics.rule import choose
from feilun.tasks.base import TaskBase
from feilun.types import PLAIN, Output, Rule, Scalar, Schema

__all__ = ["MAX_LABEL_LENGTH", "Classification", "label_of", "order_labels"]

MAX_LABEL_LENGTH = 200
"""Characters of a label: a longer cell is taken for a wrong column, not for a label."""


_EXPLANATION: dict[str, Any] = {
    "type": ["object", "null"],
    "properties": {
        "for": {"type": "string"},
        "against": {"type": "string"},
        "method": {"enum": ["exact", "occlusion"]},
        "parts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "start": {"type": "integer"},
                    "end": {"type": "integer"},
                    "weight": {"type": "number"},
                },
            },
        },
        "grid": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
    },
}
"""Log-odds that each part, or each square of a picture, adds for one label against another."""


class Classification(TaskBase):
    """A task that answers with one of the schema's labels."""

    def label(self, value: Scalar) -> str | None:
        """See `label_of`."""
        return label_of(value)

    def order(self, labels: Iterable[str]) -> tuple[str, ...]:
        """See `order_labels`."""
        return order_labels(labels)

    def decode(
        self,
        logits: np.ndarray,
        schema: Schema,
        temperature: float,
        all_scores: bool = False,
        rule: Rule = PLAIN,
    ) -> list[Output]:
        """The most probable label of each row, or the one that `rule` wants, with its
        probability."""
        probabilities = softmax(logits, temperature)
        labels = schema.labels
        if not rule.plain:
            return _by_rule(probabilities, labels, rule, all_scores)
        best = probabilities.argmax(axis=1).tolist()
        scores = probabilities.max(axis=1).tolist()
        outputs: list[Output] = [
            {"label": labels[index], "score": score}
            for index, score in zip(best, scores, strict=True)
        ]
        if all_scores:
            for output, row in zip(outputs, probabilities.tolist(), strict=True):
                output["scores"] = dict(zip(labels, row, strict=True))
        return outputs

    def output_schema(self) -> dict[str, Any]:
        """A label and its probability; on request those of all labels, and an explanation; and
        whether the answer is too unsure to be acted upon."""
        probability = {"type": "number", "minimum": 0, "maximum": 1}
        return {
            "type": "object",
            "properties": {
                "label": {"type": "string"},
                "score": probability,
                "scores": {"type": "object", "additionalProperties": probability},
                "abstained": {"const": True},
                "explanation": _EXPLANATION,
            },
            "required": ["label", "score"],
        }


def _by_rule(
    probabilities: np.ndarray, labels: tuple[str, ...], rule: Rule, all_scores: bool
) -> list[Output]:
    best, sure = choose(probabilities, labels, rule)
    outputs: list[Output] = [
        {"label": labels[index], "score": score}
        for index, score in zip(best.tolist(), sure.tolist(), strict=True)
    ]
    for row in np.flatnonzero(sure < rule.abstain_below).tolist():
        outputs[row]["abstained"] = True
    if all_scores:
        for output, row in zip(outputs, probabilities.tolist(), strict=True):
            output["scores"] = dict(zip(labels, row, strict=True))
    return outputs


def label_of(value: Scalar) -> str | None:
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
