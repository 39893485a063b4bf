"""What versions answered on the same rows, brought to one set of labels by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from feilun.metrics.probabilities import softmax
from feilun.types import PLAIN, Rule

__all__ = ["Answers", "align", "label_space"]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One version's raw logits (rows, labels) on the rows of an evaluation. `labels` name the
    columns; `temperature` divides the logits, and `rule` decides, as the version's card says."""

    name: str
    method: str
    labels: tuple[str, ...]
    logits: np.ndarray
    temperature: float = 1.0
    rule: Rule = PLAIN


def label_space(labels: Sequence[str], versions: Iterable[Answers]) -> tuple[str, ...]:
    """`labels`, followed by those that only a version knows: a version that answers a label which
    is no longer asked for must be counted wrong, not silenced."""
    space = dict.fromkeys(labels)
    for version in versions:
        space.update(dict.fromkeys(version.labels))
    return tuple(space)


def align(answers: Answers, space: Sequence[str], *, calibrated: bool = True) -> np.ndarray:
    """Probabilities (rows, len(space)) float64; 0 for labels that the version does not know.
    Raises `ValueError` when the columns are not as many as the labels."""
    if answers.logits.ndim != 2 or answers.logits.shape[1] != len(answers.labels):
        raise ValueError(
            f"{answers.name}: logits of shape {answers.logits.shape}"
            f" for {len(answers.labels)} labels"
        )
    known = softmax(answers.logits, answers.temperature if calibrated else 1.0)
    if tuple(space) == answers.labels:
        return known
    place = {label: index for index, label in enumerate(space)}
    full = np.zeros((len(known), len(space)))
    full[:, [place[label] for label in answers.labels]] = known
    return full
