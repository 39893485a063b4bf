"""From probabilities to answers where errors do not cost alike, and where the unsure goes to a
person; and how the two thresholds are chosen on rows that chose nothing else.

Elkan, "The Foundations of Cost-Sensitive Learning" (2001): with true probabilities the cheapest
answer is the label itself from a probability of false_alarm / (missed + false_alarm) on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feilun.metrics.intervals import wilson

__all__ = ["PLAIN", "Rule", "best_threshold", "cheapest", "choose", "cutoff_for"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How scores become an answer: `label` is answered from a probability of `threshold` on, below
    it the best of the others; without a label, the most probable one. Answers less sure than
    `abstain_below` are marked as abstained; 0 marks none."""

    label: str = ""
    threshold: float = 0.5
    abstain_below: float = 0.0

    @property
    def plain(self) -> bool:
        """Whether the most probable label is simply the answer."""
        return not self.label and not self.abstain_below


PLAIN = Rule()
"""The most probable label is the answer."""


def choose(
    probabilities: np.ndarray, labels: tuple[str, ...], rule: Rule
) -> tuple[np.ndarray, np.ndarray]:
    """The answers (rows,), indices into `labels`, and the probability of each.

    A rule for a label that the model does not know leaves the most probable one.
    """
    answers = probabilities.argmax(axis=1)
    if rule.label in labels and len(labels) > 1:
        place = labels.index(rule.label)
        others = probabilities.copy()
        others[:, place] = -1.0
        says = probabilities[:, place] >= rule.threshold
        answers = np.where(says, place, others.argmax(axis=1))
    return answers, probabilities[np.arange(len(answers)), answers]


def cheapest(missed: float, false_alarm: float) -> float:
    """The threshold that true probabilities would want."""
    return false_alarm / (missed + false_alarm)


def best_threshold(
    probability: np.ndarray, positive: np.ndarray, missed: float, false_alarm: float
) -> float:
    """The threshold for labelled rows: that of `cheapest`, unless these rows cost less with another
    one by more than a standard error; then the nearest to it that does not.

    `probability` is the label's, `positive` whether the row truly has it. Few rows thus keep the
    textbook's threshold, and probabilities that lie are corrected where it can be seen.
    """
    wanted = cheapest(missed, false_alarm)
    rows = len(probability)
    if not rows:
        return wanted
    order = np.argsort(probability, kind="stable")
    p = np.asarray(probability, np.float64)[order]
    change = np.where(np.asarray(positive)[order], missed, -false_alarm)
    # With a threshold above the first j rows the cost differs by the sum of their changes.
    total = np.concatenate(([0.0], np.cumsum(change)))
    squares = np.concatenate(([0.0], np.cumsum(change**2)))
    inside = np.concatenate(([True], p[1:] > p[:-1], [True]))  # equal rows cannot be divided
    total, squares = total[inside], squares[inside]
    edges = np.concatenate(([0.0], p, [1.0]))
    middles = ((edges[:-1] + edges[1:]) / 2)[inside]
    low, high = edges[:-1][inside], edges[1:][inside]
    best = int(total.argmin())
    difference = total - total[best]
    error = np.sqrt(np.maximum(np.abs(squares - squares[best]) - difference**2 / rows, 0.0))
    near = difference <= error
    if (near & (low < wanted) & (wanted <= high)).any():
        return wanted
    nearest = np.where(near, np.abs(middles - wanted), np.inf).argmin()
    return float(middles[nearest])


def cutoff_for(sure: np.ndarray, right: np.ndarray, accuracy: float) -> float:
    """The lowest probability from which on `accuracy` of the answers are right, surely enough: the
    lower end of the 50 % interval reaches it, because the lowest of many cut-offs flatters itself.
    1.0 where no share of the rows reaches it."""
    order = np.argsort(-np.asarray(sure), kind="stable")
    ranked, hits = np.asarray(sure)[order], np.cumsum(np.asarray(right)[order])
    ends = np.flatnonzero(np.concatenate((ranked[1:] < ranked[:-1], [True])))
    for end in reversed(ends.tolist()):
        if wilson(float(hits[end]), end + 1, 0.5).low >= accuracy:
            return float(ranked[end])
    return 1.0
