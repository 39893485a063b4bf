"""What a look at drift found, as values that travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["SIGNALS", "Drift", "DriftRow", "Signal"]

SIGNALS = ("inputs", "answers", "confidence", "unseen")
"""What is compared: the inputs themselves, the shares of the labels, how sure the answers are, and
how much of an input the training rows never had."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One comparison: `value` is the size of the difference (with an interval for ``inputs``, whose
    value is the area under the curve of a classifier that tells now from then; .5 is none at all).

    `before` and `now` are the figures behind it. `chance` is how likely so much is without any
    drift; `alarm` whether that, corrected for all that was looked at, is too little for chance.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    before: float | None
    now: float | None
    chance: float
    alarm: bool


@dataclass(frozen=True, slots=True)
class DriftRow:
    """An answer whose input shows the difference: `score` is the chance that it is of now."""

    prediction_id: str
    index: int
    score: float


@dataclass(frozen=True, slots=True)
class Drift:
    """One look at a version: `reference` training rows and `judged` test and validation rows
    against `current` different inputs that it answered; `not_kept` answers had no input to look at.

    `look` counts the looks at this version, `risk` is the chance of a false alarm that this one may
    take. `shares` are those of each label, then and now. `rows` show an alarm, the clearest first.
    """

    version: str
    reference: int
    judged: int
    current: int
    not_kept: int
    look: int
    risk: float
    signals: tuple[Signal, ...]
    shares: Mapping[str, tuple[float, float]]
    rows: tuple[DriftRow, ...]

    @property
    def alarm(self) -> bool:
        """Whether anything drifted."""
        return any(signal.alarm for signal in self.signals)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "alarm": self.alarm}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Drift:
        """What `to_json` wrote."""
        values = {name: value for name, value in raw.items() if name != "alarm"}
        values["signals"] = tuple(Signal(**one) for one in raw["signals"])
        values["rows"] = tuple(DriftRow(**one) for one in raw["rows"])
        values["shares"] = {label: (pair[0], pair[1]) for label, pair in raw["shares"].items()}
        return cls(**values)
