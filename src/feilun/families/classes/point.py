"""The operating point of a classifier: how its logits become an answer.

A card holds ``temperature``, which divides the logits, and ``rule`` where the answer is not simply
the most probable label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from feilun.families.base import Decoder
from feilun.families.classes.rule import PLAIN, Rule, choose
from feilun.metrics.probabilities import softmax
from feilun.types import Output, Schema

__all__ = ["Point", "decoder", "point_of"]


@dataclass(frozen=True, slots=True)
class Point:
    """`temperature` divides the logits, 1.0 before calibration; `rule` turns probabilities into an
    answer."""

    temperature: float = 1.0
    rule: Rule = PLAIN

    def to_json(self) -> dict[str, Any]:
        """As a card holds it. A plain rule is left out."""
        plain: dict[str, Any] = {"temperature": self.temperature}
        if not self.rule.plain:
            plain["rule"] = asdict(self.rule)
        return plain


def point_of(raw: Mapping[str, Any]) -> Point:
    """What `Point.to_json` wrote. Raises `TypeError` for keys that a rule has not."""
    return Point(float(raw.get("temperature", 1.0)), Rule(**raw.get("rule", {})))


def decoder(schema: Schema, point: Point) -> Decoder:
    """Answers from logits (batch, labels): ``{"label", "score"}``, and on request ``{"scores":
    {label: float}}``. float64 softmax of logits / temperature. The label obeys the rule; an answer
    that it holds too unsure has ``"abstained": True``."""
    labels, temperature, rule = schema.labels, point.temperature, point.rule

    def decode(logits: np.ndarray, all_scores: bool = False) -> list[Output]:
        probabilities = softmax(logits, temperature)
        if rule.plain:
            best, scores = probabilities.argmax(axis=1), probabilities.max(axis=1)
        else:
            best, scores = choose(probabilities, labels, rule)
        outputs: list[Output] = [
            {"label": labels[index], "score": score}
            for index, score in zip(best.tolist(), scores.tolist(), strict=True)
        ]
        if rule.abstain_below:
            for row in np.flatnonzero(scores < rule.abstain_below).tolist():
                outputs[row]["abstained"] = True
        if all_scores:
            for output, row in zip(outputs, probabilities.tolist(), strict=True):
                output["scores"] = dict(zip(labels, row, strict=True))
        return outputs

    return decode
