"""What the answers are worth where they are used: held against the user's target, priced by the
costs of the two errors, and with the unsure ones left to a person.

The tables of the evaluation count the most probable label, so that versions compare whatever their
thresholds; here the version's own rule decides, as it does when it serves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from feilun.config import CostsConfig, EvaluationConfig, TargetConfig
from feilun.families.classes.rule import Rule, choose
from feilun.metrics.intervals import paired_difference, wilson
from feilun.metrics.scores import Score

__all__ = ["MOST_ROWS", "Choice", "Condition", "Costs", "Covered", "Status", "judge", "more_rows"]

MOST_ROWS = 20_000
"""Beyond this many more rows no number is named."""
_THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_SHARES = (1.0, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)

Status = Literal["met", "not_met", "cannot_tell"]
Kind = Literal["missed", "false_alarms", "accuracy"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of the target: `score` is what the test rows showed, on `rows` of them; `more_rows`
    of the same kind would about settle it (None: none are needed, or no number can be named)."""

    kind: Kind
    label: str
    limit: float
    score: Score
    rows: int
    status: Status
    more_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Priced:
    """What 1,000 answers would cost if the label were answered from a probability of `threshold`
    on."""

    threshold: float
    per_1000: Score


@dataclass(frozen=True, slots=True)
class Costs:
    """Errors about `label` priced: what 1,000 answers cost with the threshold and, `plain`, with
    the most probable label, unsure ones included; `saved` is the difference on the same rows.
    Beside them the shares of missed rows and of false alarms, and the cost by threshold on the
    test rows: it chose nothing, and shows how much hangs on the choice."""

    label: str
    threshold: float
    per_1000: Score
    plain: Score
    saved: Score
    missed: Score
    false_alarms: Score
    plain_missed: Score
    plain_false_alarms: Score
    curve: tuple[Priced, ...] = ()


@dataclass(frozen=True, slots=True)
class Covered:
    """The surest `share` of the rows: how many of them are right, and the sureness of the last."""

    share: float
    accuracy: Score
    cutoff: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The version's rule on the test rows. `abstained` is the share left to a person, `right` the
    share right of the rest. `wanted` is a ratio of costs, missed to false alarm, that would have
    met the target for missed rows on the validation rows; None where none is needed."""

    rule: Rule
    abstained: Score
    right: Score
    conditions: tuple[Condition, ...] = ()
    costs: Costs | None = None
    curve: tuple[Covered, ...] = ()
    wanted: float | None = None

    @property
    def status(self) -> Status | None:
        """The target as a whole; None without one."""
        found = {one.status for one in self.conditions}
        if not found:
            return None
        return next(one for one in ("not_met", "cannot_tell", "met") if one in found)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal choice back."""
        plain: dict[str, Any] = TypeAdapter(Choice).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Choice:
        """What `to_json` wrote. Raises pydantic's `ValidationError` for others."""
        return TypeAdapter(Choice).validate_python(raw)


def judge(
    probabilities: np.ndarray,
    truth: np.ndarray,
    labels: tuple[str, ...],
    rule: Rule,
    settings: EvaluationConfig,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int = 0,
) -> Choice:
    """Everything that `Choice` holds. `truth` are indices into `labels`, no -1 among them;
    `validation` the same two arrays of the validation rows."""
    answers, sure = choose(probabilities, labels, rule)
    kept = sure >= rule.abstain_below
    right, confidence = answers == truth, settings.confidence
    target, costs = settings.target, settings.costs
    conditions = _conditions(answers, kept, truth, labels, target, confidence)
    wanted = None
    if any(one.kind == "missed" and one.status != "met" for one in conditions):
        wanted = _wanted(validation, labels, target)
    return Choice(
        rule=rule,
        abstained=wilson(int((~kept).sum()), len(kept), confidence),
        right=wilson(int(right[kept].sum()), int(kept.sum()), confidence),
        conditions=conditions,
        costs=_costs(probabilities, answers, truth, labels, rule, settings, seed)
        if costs.label in labels
        else None,
        curve=_curve(sure, right, confidence),
        wanted=wanted,
    )


def more_rows(share: float, rows: int, limit: float, confidence: float) -> int | None:
    """About how many more rows until the interval of `share` lies on one side of `limit`, if they
    go on as these; None for more than `MOST_ROWS`."""

    def settled(count: int) -> bool:
        score = wilson(share * count, count, confidence)
        return score.high <= limit or score.low > limit

    if not settled(rows + MOST_ROWS):
        return None
    low, high = rows, rows + MOST_ROWS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return _rounded(high - rows)


def _rounded(rows: float) -> int:
    """Two digits are all that such an estimate has."""
    unit = max(int(10 ** (len(str(math.ceil(rows))) - 2)), 1)
    return math.ceil(rows / unit) * unit


def _conditions(
    answers: np.ndarray,
    kept: np.ndarray,
    truth: np.ndarray,
    labels: tuple[str, ...],
    target: TargetConfig,
    confidence: float,
) -> tuple[Condition, ...]:
    found: list[Condition] = []
    if target.label in labels:
        place = labels.index(target.label)
        has = truth == place
        shares: tuple[tuple[Kind, float | None, np.ndarray, np.ndarray], ...] = (
            ("missed", target.missed_at_most, has & kept & (answers != place), has),
            ("false_alarms", target.false_alarms_at_most, ~has & kept & (answers == place), ~has),
        )
        for kind, limit, hits, among in shares:
            if limit is not None:
                count = int(among.sum())
                score = wilson(int(hits.sum()), count, confidence)
                found.append(_condition(kind, target.label, limit, score, count, confidence))
    if target.accuracy_at_least is not None:
        count = int(kept.sum())
        score = wilson(int((answers == truth)[kept].sum()), count, confidence)
        one = _condition("accuracy", "", target.accuracy_at_least, score, count, confidence)
        if one.more_rows:  # of further rows, too, only a part is answered
            more = _rounded(one.more_rows * len(kept) / count)
            one = replace(one, more_rows=more if more <= MOST_ROWS else None)
        found.append(one)
    return tuple(found)


def _condition(
    kind: Kind, label: str, limit: float, score: Score, rows: int, confidence: float
) -> Condition:
    low, high, most = score.low, score.high, limit
    share = score.value
    if kind == "accuracy":  # at least so many right is at most so many wrong
        low, high, most, share = 1 - score.high, 1 - score.low, 1 - limit, 1 - score.value
    status: Status = "cannot_tell"
    if rows and high <= most:
        status = "met"
    elif rows and low > most:
        status = "not_met"
    open_still = status == "cannot_tell" and rows > 0
    more = more_rows(share, rows, most, confidence) if open_still else None
    return Condition(kind, label, limit, score, rows, status, more)


def _wanted(
    validation: tuple[np.ndarray, np.ndarray] | None, labels: tuple[str, ...], target: TargetConfig
) -> float | None:
    """The odds against the threshold that lets at most the target's share be missed on the
    validation rows: what a missed row must cost more than a false alarm for it."""
    if validation is None or target.missed_at_most is None:
        return None
    place = labels.index(target.label)
    given = np.sort(validation[0][validation[1] == place, place])
    if not len(given):
        return None
    threshold = float(np.clip(given[int(len(given) * target.missed_at_most)], 1e-3, 0.5))
    return (1 - threshold) / threshold


def _costs(
    probabilities: np.ndarray,
    answers: np.ndarray,
    truth: np.ndarray,
    labels: tuple[str, ...],
    rule: Rule,
    settings: EvaluationConfig,
    seed: int,
) -> Costs:
    costs, confidence = settings.costs, settings.confidence
    place = labels.index(costs.label)
    has = truth == place
    plain = probabilities.argmax(axis=1)
    errors = [(has & (each != place), ~has & (each == place)) for each in (answers, plain)]
    price = [costs.missed * missed + costs.false_alarm * alarm for missed, alarm in errors]
    saved = paired_difference(
        price[1], price[0], resamples=settings.resamples, confidence=confidence, seed=seed
    )
    rows, others = int(has.sum()), int((~has).sum())
    shares = [
        (wilson(int(m.sum()), rows, confidence), wilson(int(f.sum()), others, confidence))
        for m, f in errors
    ]
    return Costs(
        label=costs.label,
        threshold=rule.threshold if rule.label == costs.label else 0.5,
        per_1000=_price(*errors[0], costs, confidence),
        plain=_price(*errors[1], costs, confidence),
        saved=Score(1000 * saved.value, 1000 * saved.low, 1000 * saved.high),
        missed=shares[0][0],
        false_alarms=shares[0][1],
        plain_missed=shares[1][0],
        plain_false_alarms=shares[1][1],
        curve=tuple(
            Priced(
                threshold,
                _price(
                    has & (probabilities[:, place] < threshold),
                    ~has & (probabilities[:, place] >= threshold),
                    costs,
                    confidence,
                ),
            )
            for threshold in _THRESHOLDS
        ),
    )


def _price(missed: np.ndarray, alarms: np.ndarray, costs: CostsConfig, confidence: float) -> Score:
    """The cost of 1,000 answers. The intervals of the two shares are joined as Zou and Donner
    (2008) do, which holds for few errors too, where resampling would not."""
    parts = [
        (price, wilson(int(hits.sum()), len(hits), confidence))
        for price, hits in ((costs.missed, missed), (costs.false_alarm, alarms))
    ]
    value = sum(price * share.value for price, share in parts)
    down = math.sqrt(sum((price * (share.value - share.low)) ** 2 for price, share in parts))
    up = math.sqrt(sum((price * (share.high - share.value)) ** 2 for price, share in parts))
    return Score(1000 * value, 1000 * max(0.0, value - down), 1000 * (value + up))


def _curve(sure: np.ndarray, right: np.ndarray, confidence: float) -> tuple[Covered, ...]:
    """Coverage against accuracy: what is right of the surest rows, from all of them to half."""
    order = np.argsort(-sure, kind="stable")
    hits = np.cumsum(right[order])
    points = []
    for share in _SHARES:
        count = round(share * len(sure))
        if count:
            score = wilson(int(hits[count - 1]), count, confidence)
            points.append(Covered(count / len(sure), score, float(sure[order[count - 1]])))
    return tuple(points)
