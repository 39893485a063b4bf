"""What a report tells beside the evaluation: where rows, weights and variants come from.

The rooms that know these things are strangers to this one; whoever composes them fills these in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feilun.metrics.scores import Score

__all__ = ["BaseGain", "DataFacts", "Facts", "PeopleFacts", "TrainingFacts", "VariantFacts"]


@dataclass(frozen=True, slots=True)
class DataFacts:
    """The data version that was trained on: its name, rows of each label in each split, the
    sources they came from. `judged` names the one whose test rows judged, `judged_rows` of them."""

    version: str
    splits: Mapping[str, Mapping[str, int]]
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    judged: str = ""
    judged_rows: int = 0


@dataclass(frozen=True, slots=True)
class BaseGain:
    """What a version gains in `metric` over `version`, which the same method taught the same rows
    from another `base`; above 0 is better."""

    version: str
    base: str
    metric: str
    gain: Score


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """How the weights came about. `figures` are those of the training's result (``seconds``,
    ``rows``, ``epochs``, ...), `settings` the method's resolved ones."""

    method: str
    base: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    base_gain: BaseGain | None = None


@dataclass(frozen=True, slots=True)
class VariantFacts:
    """A compressed form, measured on the validation rows: `loss` in accuracy against the float,
    `flips` rows whose label differs from the float's, `sure_flips` those where it was sure,
    `milliseconds` for one answer, `per_second` answers, `size` in bytes; `note` is a sentence
    as `to_kept` makes it."""

    name: str
    accuracy: Score | None = None
    loss: float | None = None
    flips: int | None = None
    sure_flips: int | None = None
    milliseconds: float | None = None
    per_second: float | None = None
    size: int | None = None
    chosen: bool = False
    note: Any = ""


@dataclass(frozen=True, slots=True)
class PeopleFacts:
    """Whom people preferred of `version` and `against`, over `pairs` of answers: `wins` and
    `losses` of `version`, `ties` (in `bad` of them both were bad), and the share of wins with a
    tie for a half, `rate`. `unbiased` tells that the pairs are a random sample."""

    version: str
    against: str
    pairs: int
    wins: int
    losses: int
    ties: int
    bad: int
    rate: Score
    unbiased: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it; what is left out is left out of the report. `created` is a date to show, `search`
    what the step of that name found, where the version is the winner of one; `people` whom people
    preferred, which no verdict counts."""

    project: str = ""
    created: str = ""
    data: DataFacts | None = None
    training: TrainingFacts | None = None
    variants: tuple[VariantFacts, ...] = ()
    frontier: Mapping[str, Any] | None = None
    """The table of ``compress --explore`` in which this version was chosen: its ``metric``,
    ``currency`` and ``points``."""
    search: Mapping[str, Any] | None = None
    people: tuple[PeopleFacts, ...] = ()
