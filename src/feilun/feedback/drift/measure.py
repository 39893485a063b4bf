"""Compares the inputs and answers of now with those of then.

Inputs: a classifier two-sample test (Lopez-Paz and Oquab 2017). A logistic regression on stage
zero's features learns on one half to tell the two sides apart and is judged on the other half; if
it cannot, nobody will see a difference there. Judging on rows that it did not learn from makes the
test exact whatever the classifier, and identical rows can only bring it below .5.

Answers: the shares of the labels; the scores; the share of n-grams that the training rows never
had: rank tests and chi-square. An alarm needs a chance that is small after Holm's correction for
the four of them, and a difference that is large enough to matter, however many rows there are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.engines.linear import pick, weigh
from feilun.feedback.drift.result import Drift, DriftRow, Signal
from feilun.metrics.auc import area
from feilun.tasks.base import Features, fit_features
from feilun.types import Item

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["LEAST", "MOST", "RISK", "Side", "allowed", "measure"]

RISK = 0.01
"""The chance of a false alarm in all looks at one version together."""
LEAST = 50
"""Different inputs on each side below which nothing is compared."""
MOST = 2000
"""Rows of a side that the classifier learns and judges with, drawn by the seed."""

_MATTERS = {"inputs": 0.55, "answers": 0.05, "confidence": 0.03, "unseen": 0.02}
_SHOWN = 20
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the comparison: `items` for the classifier; `labels` (strata, where answers are
    no labels), `scores` and `unseen` (shares of unseen n-grams) of answers, which on the side of
    then are to other rows."""

    items: Sequence[Item]
    labels: Sequence[str]
    scores: np.ndarray
    unseen: np.ndarray


def allowed(look: int, risk: float = RISK) -> float:
    """The chance of a false alarm that look number `look` (from 1) may take, so that all looks
    there will ever be take no more than `risk` together: a part that falls with its square."""
    return risk * 6 / (math.pi * look) ** 2


def measure(
    features: Features,
    then: Side,
    now: Side,
    *,
    version: str = "",
    places: Sequence[tuple[str, int]] = (),
    not_kept: int = 0,
    look: int = 1,
    seed: int = 0,
) -> Drift | None:
    """The comparison of `now` with `then`; None where a side has fewer than 50 rows.

    `places` are the ids of the answers in `now`, for the rows that show an alarm. The same
    arguments give the same answer.
    """
    if min(len(then.items), len(now.items)) < LEAST:
        return None
    draw = np.random.default_rng(seed)
    first = np.sort(draw.permutation(len(then.items))[:MOST])
    second = np.sort(draw.permutation(len(now.items))[:MOST])
    inputs, scores = _told_apart(
        features, [then.items[i] for i in first], [now.items[i] for i in second], draw
    )
    signals = [inputs]
    shares = _shares(then.labels, now.labels)
    if min(len(then.labels), len(now.labels)) >= LEAST:
        signals += [_answers(then.labels, now.labels), *_ranks(then, now)]
    risk = allowed(look)
    signals = _alarmed(signals, risk)
    alarm = any(signal.alarm for signal in signals)
    rows: list[DriftRow] = []
    if alarm and places:
        order = np.argsort(-scores, kind="stable")[:_SHOWN]
        found = ((places[second[i]], float(scores[i])) for i in order)
        rows = [DriftRow(name, index, score) for (name, index), score in found]
    return Drift(
        version=version,
        reference=len(then.items),
        judged=len(then.labels),
        current=len(now.items),
        not_kept=not_kept,
        look=look,
        risk=risk,
        signals=tuple(signals),
        shares=shares,
        rows=tuple(rows),
    )


def _told_apart(
    features: Features, then: Sequence[Item], now: Sequence[Item], draw: np.random.Generator
) -> tuple[Signal, np.ndarray]:
    """The classifier's signal, and for each row of `now` the chance that it is of now, by the
    classifier that did not learn from it."""
    features = fit_features(features, then)
    rows = _stack([*_transformed(features, then), *_transformed(features, now)])
    truth = np.repeat([False, True], [len(then), len(now)])
    half = np.zeros(len(truth), bool)
    for side in (False, True):
        mine = np.flatnonzero(truth == side)
        half[draw.permutation(mine)[: len(mine) // 2]] = True
    scores = np.zeros(len(truth))
    for learn in (half, ~half):
        scores[~learn] = _chances(rows, truth, learn)
    # One direction alone is judged: the two are not independent of one another.
    judged, given = truth[~half], scores[~half]
    found = area(judged, given)
    assert found is not None
    value, influence = found
    spread = 1.96 * math.sqrt(float((influence**2).mean()) / len(judged))
    from scipy.stats import mannwhitneyu

    test = mannwhitneyu(given[judged], given[~judged], alternative="greater", method="asymptotic")
    low, high = max(0.0, value - spread), min(1.0, value + spread)
    return Signal("inputs", value, low, high, None, None, _sound(test.pvalue), False), scores[truth]


def _transformed(features: Features, items: Sequence[Item]) -> list[Any]:
    return [
        features.transform(items[start : start + _CHUNK]) for start in range(0, len(items), _CHUNK)
    ]


def _stack(parts: Sequence[Any]) -> csr_matrix | np.ndarray:
    if isinstance(parts[0], np.ndarray):
        rows = np.concatenate(parts)
        scaled: np.ndarray = (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-6)
        return scaled
    from scipy.sparse import vstack

    rows = vstack(parts, format="csr")
    occurs = np.bincount(rows.indices, minlength=rows.shape[1])
    return weigh(pick(rows, np.flatnonzero(occurs >= 2).astype(np.int32)), None)


def _chances(rows: csr_matrix | np.ndarray, truth: np.ndarray, learn: np.ndarray) -> np.ndarray:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=3.0, class_weight="balanced", tol=1e-4, max_iter=100)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows[learn], truth[learn])
        found: np.ndarray = model.predict_proba(rows[~learn])[:, 1]
    return found


def _shares(then: Sequence[str], now: Sequence[str]) -> dict[str, tuple[float, float]]:
    before, after = Counter(then), Counter(now)
    return {
        label: (before[label] / max(1, len(then)), after[label] / max(1, len(now)))
        for label in sorted({*before, *after})
    }


def _answers(then: Sequence[str], now: Sequence[str]) -> Signal:
    """Half the sum of the differences of the shares, and chi-square; labels that are too rare for
    it count as one."""
    shares = _shares(then, now)
    value = sum(abs(a - b) for a, b in shares.values()) / 2
    before, after = Counter(then), Counter(now)
    total = len(then) + len(now)
    smaller = min(len(then), len(now))
    table, rest = [], [0, 0]
    for label in shares:
        pair = [before[label], after[label]]
        if sum(pair) * smaller / total < 5:
            rest = [rest[0] + pair[0], rest[1] + pair[1]]
        else:
            table.append(pair)
    if sum(rest) * smaller / total >= 5:
        table.append(rest)
    chance = 1.0
    if len(table) > 1:
        from scipy.stats import chi2_contingency

        chance = _sound(chi2_contingency(np.array(table).T, correction=True).pvalue)
    return Signal("answers", float(value), None, None, None, None, chance, False)


def _ranks(then: Side, now: Side) -> list[Signal]:
    from scipy.stats import mannwhitneyu

    found = []
    for name, before, after, side in (
        ("confidence", then.scores, now.scores, "two-sided"),
        ("unseen", then.unseen, now.unseen, "greater"),
    ):
        if not len(before) or not len(after):
            continue
        chance = 1.0
        if np.ptp(np.concatenate([before, after])) > 0:
            test = mannwhitneyu(after, before, alternative=side, method="asymptotic")
            chance = _sound(test.pvalue)
        means = float(before.mean()), float(after.mean())
        found.append(Signal(name, means[1] - means[0], None, None, *means, chance, False))
    return found


def _sound(chance: float) -> float:
    return float(chance) if math.isfinite(chance) else 1.0


def _alarmed(signals: Sequence[Signal], risk: float) -> list[Signal]:
    """Holm: the smallest chance against the risk divided by all, the next by one fewer; the first
    that is too likely ends it. What is too small to matter is no alarm."""
    order = sorted(range(len(signals)), key=lambda i: signals[i].chance)
    sure: set[int] = set()
    for place, i in enumerate(order):
        if signals[i].chance > risk / (len(signals) - place):
            break
        sure.add(i)
    return [
        Signal(
            one.name, one.value, one.low, one.high, one.before, one.now, one.chance,
            i in sure and abs(one.value) >= _MATTERS[one.name],
        )
        for i, one in enumerate(signals)
    ]  # fmt: skip
