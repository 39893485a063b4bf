"""What an evaluation holds of classes alone: frozen values that travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from feilun.families.classes.calibration import Bin
from feilun.families.classes.choice import Choice
from feilun.metrics.scores import Score

__all__ = ["Calibration", "ClassScores", "Confusion", "Details"]


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One label on the test rows: how many `rows` truly have it, how often it was `answered`.

    `found` tells how many of its rows each compared version answered right, by role.
    """

    label: str
    rows: int
    answered: int
    right: int
    precision: Score | None
    recall: Score | None
    f1: Score | None
    found: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of (true, answered) pairs as indices into `labels`; pairs that never occur are left
    out, so that thousands of classes stay small."""

    labels: tuple[str, ...]
    cells: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Stated probabilities against the truth, with the logits as trained and after dividing them
    by `temperature`. Bins hold about equally many rows, the least confident first."""

    temperature: float
    before: tuple[Bin, ...]
    after: tuple[Bin, ...]
    error_before: Score | None
    error_after: Score | None


@dataclass(frozen=True, slots=True)
class Details:
    """`floor` is the most frequent training label and its share of the test rows: what always
    answering it would score. `choice` is what the answers are worth by the version's own rule."""

    floor: tuple[str, float]
    classes: tuple[ClassScores, ...]
    confusion: Confusion
    calibration: Calibration
    choice: Choice | None = None
