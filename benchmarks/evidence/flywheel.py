"""The wheel turned: what updates gain on rows never seen, with and without a shift.

    python -m benchmarks.evidence.flywheel [--seeds N] [--turns N] [--data NAME ...]

The linear stage on real rows. A first version learns some; each turn brings new answers, of whose
errors a share is corrected, and a few answers drawn at random are labelled to judge by; the gate
decides. Then the version that is live answers rows that nothing has seen: all that are left, since
on 800 of them two equal versions are half a point apart by chance in three of five comparisons.
With a shift those who ask from the first turn on are others: longer reviews, thicker digits,
customers of long standing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from benchmarks.evidence._few import named

from feilun.engines.linear import pick, weigh
from feilun.evaluation.expectation import expected, prior, together
from feilun.evaluation.gate import UNSURE
from feilun.metrics.intervals import paired_difference, paired_error, paired_risk
from feilun.tasks import base as tasks
from feilun.tasks.base import fit_features
from feilun.training import logistic
from feilun.training.logistic import Matrix
from feilun.training.out_of_fold import FOLDS

FIRST, TRAFFIC, UNSEEN = 600, 300, 800
"""Rows of the first version, answers of a turn, and rows that nothing sees, at least."""
TEST = 0.15
"""Of the first rows, that judge."""
CORRECTED, DRAWN = 0.5, 60
"""The share of a turn's errors that is corrected, and answers that are drawn and labelled."""
STRENGTH = 10.0
LOSS = 0.005
LATE = 0.6
"""From this part of the data on rows belong to the shift."""
NAMES = ("English", "Chinese", "digits", "churn")
RULES = ("now", "once", "kept", "before", "always")


@dataclass(frozen=True)
class Pool:
    """All rows of one data set: counted features, labels, and how usual a row is, 0 to 1."""

    counted: Matrix
    labels: np.ndarray
    usual: np.ndarray
    sparse: bool


@cache
def pool(name: str) -> Pool:
    """``English``, ``Chinese``, ``digits`` or ``churn``."""
    if name == "churn":
        return _churn()
    rows = named(name)
    items, words = rows.items, rows.labels
    if name != "digits":  # equal texts are one
        first = list({text: place for place, text in reversed(list(enumerate(items)))}.values())
        items, words = [items[place] for place in first], [words[place] for place in first]
    task = tasks.get(rows.task)
    features = task.features(rows.settings if name == "digits" else {"feature_bits": 16})
    counted = features.transform(list(items))
    names = sorted(set(words))
    labels = np.array([names.index(word) for word in words])
    if name == "digits":
        usual = np.argsort(np.argsort(np.asarray(counted).sum(axis=1)))
    else:
        usual = np.argsort(np.argsort([len(text) for text in items], kind="stable"))
    return Pool(counted, labels, usual / len(labels), name != "digits")


def _churn() -> Pool:
    from benchmarks.tasks.tabular import TASK, load

    found = load("wa_churn")
    task = tasks.get(TASK).bound(found.settings)
    features = fit_features(task.features(found.settings), found.items)
    counted = features.transform(found.items)
    order = np.argsort([float(row["tenure"] or 0) for row in found.items], kind="stable")
    return Pool(counted, found.truth, np.argsort(order) / len(order), False)


class Version:
    """A linear model of the rows `train`."""

    def __init__(self, data: Pool, train: np.ndarray) -> None:
        self._data, self._columns, self._idf = data, None, None
        if data.sparse:
            occurs = np.bincount(data.counted[train].indices, minlength=data.counted.shape[1])
            self._columns = np.flatnonzero(occurs >= 2).astype(np.int32)
            self._idf = (np.log((1 + len(train)) / (1 + occurs[self._columns])) + 1).astype("f4")
        learnt, count = self._weighed(train), int(data.labels.max()) + 1
        nobody = (learnt[:0], data.labels[:0])
        strengths = (STRENGTH if data.sparse else 1.0,)
        self._model = logistic.fit(learnt, data.labels[train], count, nobody, strengths=strengths)

    def _weighed(self, rows: np.ndarray) -> Matrix:
        part = self._data.counted[rows]
        return weigh(part if self._columns is None else pick(part, self._columns), self._idf)

    def right(self, rows: np.ndarray) -> np.ndarray:
        """Which of `rows` it answers right."""
        given = (self._weighed(rows) @ self._model.coef.T + self._model.intercept).argmax(axis=1)
        found: np.ndarray = given == self._data.labels[rows]
        return found


@dataclass(frozen=True)
class Rows:
    """Row numbers: those of the first version, those that judge it, the answers of each turn, and
    what nothing sees. With a `shift` the latter two come from the other part of the data."""

    train: np.ndarray
    test: np.ndarray
    turns: list[np.ndarray]
    unseen: np.ndarray


def divided(data: Pool, shift: bool, turns: int, seed: int) -> Rows:
    order = np.random.default_rng([seed, 1]).permutation(len(data.labels))
    late = data.usual[order] >= LATE
    if not shift:
        late = np.arange(len(order)) >= LATE * len(order)
    first, others = order[~late][:FIRST], order[late]
    held = max(min(UNSEEN, len(others) * 2 // 5), len(others) - turns * TRAFFIC)
    unseen, asked = others[:held], others[held:]
    if not shift:
        unseen = np.append(unseen, order[~late][FIRST:])
    size = min(TRAFFIC, len(asked) // turns)
    test = int(TEST * len(first))
    parts = [asked[turn * size : (turn + 1) * size] for turn in range(turns)]
    return Rows(first[test:], first[:test], parts, unseen)


@dataclass(frozen=True)
class Turned:
    """Accuracies on the unseen rows: of the `first` version, and after each turn; the gain that
    each promotion had there, with its standard error; and `labels` spent."""

    first: float
    after: list[float]
    gains: list[tuple[float, float]]
    labels: int


def turned(name: str, rule: str, shift: bool, turns: int, seed: int) -> Turned:
    """The wheel by one rule."""
    data = pool(name)
    rows, generator = divided(data, shift, turns, seed), np.random.default_rng([seed, 2])
    train, test, learned = rows.train, rows.test, len(rows.train)
    live = Version(data, train)
    was = live.right(rows.unseen)
    first = float(was.mean())
    attempts, labels, judged = 0, 0, np.zeros(0, int)
    after, gains = [], []
    for asked in rows.turns:
        wrong = asked[~live.right(asked)]
        corrected = wrong[generator.random(len(wrong)) < CORRECTED]
        drawn = asked[generator.permutation(len(asked))[:DRAWN]]
        labels += len(np.union1d(corrected, drawn))
        parts = [test]
        if rule == "before":  # all that is labelled is divided by lot
            new = np.union1d(corrected, drawn)
            lot = generator.random(len(new))
            test, train = np.append(test, new[lot < 0.1]), np.append(train, new[lot >= 0.2])
            parts = [test]
        elif rule == "kept":
            test = np.append(test, drawn)
            train = np.append(train, np.setdiff1d(corrected, drawn))
            parts = [test]
        elif rule == "now":  # trains at once and is judged by models that did not see it
            train = np.concatenate([train, np.union1d(corrected, drawn)])
            parts = [test]
        else:  # what was drawn before has judged, and trains
            train = np.concatenate([train, judged, np.setdiff1d(corrected, drawn)])
            parts, judged = [drawn, test], drawn
        candidate = Version(data, train)
        attempts += 1
        right = [(candidate.right(part), live.right(part)) for part in parts]
        if rule == "now":
            right.insert(0, (_out_of_fold(data, train, drawn, generator), live.right(drawn)))
        if _promotes(rule, right, attempts, len(train) / learned):
            now = candidate.right(rows.unseen)
            gains.append((float(now.mean() - was.mean()), paired_error(now, was)))
            live, was, attempts, learned = candidate, now, 0, len(train)
        after.append(float(was.mean()))
    return Turned(first, after, gains, labels)


def _out_of_fold(
    data: Pool, train: np.ndarray, judge: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Which of the rows `judge`, which are among `train`, are answered right by models that learn
    without them, a third of them at a time."""
    lots = generator.permutation(len(train)) % FOLDS
    found = np.zeros(len(judge), bool)
    for fold in range(FOLDS):
        own = np.isin(judge, train[lots == fold])
        if own.any():
            found[own] = Version(data, train[lots != fold]).right(judge[own])
    return found


Right = Sequence[tuple[np.ndarray, np.ndarray]]
"""Which rows of each part the candidate and the live version have right."""


def _promotes(rule: str, right: Right, attempts: int, grown: float) -> bool:
    """As `feilun.evaluation` decides; *before*, as it did."""
    if rule == "always":
        return True
    new, old = (np.concatenate(side) for side in zip(*right, strict=True))
    if rule == "before":
        return paired_risk(new, old, 0.01) <= 0.2 / attempts**2
    parts = [(paired_difference(*one).value, paired_error(*one)) for one in right]
    found, error = together(*parts)
    gain = expected(found, error, prior(float(old.mean()), True, grown), attempts)
    risk = NormalDist(found, error).cdf(-0.01)
    return gain > 0 and found + 1.96 * error >= 0 and risk <= UNSURE


def losing(gains: Sequence[tuple[float, float]]) -> float:
    """How many of the promotions truly lose more than `LOSS`. What was measured scatters by more
    than the truth: true gains are taken for normal, their mean and spread from what was measured
    less its own errors, and each promotion counts with its probability (Efron and Morris 1975)."""
    if not gains:
        return 0.0
    found, errors = (np.array(side) for side in zip(*gains, strict=True))
    spread = max(float(found.var() - (errors**2).mean()), 1e-8)
    weight = spread / (spread + errors**2)
    middle, left = weight * found + (1 - weight) * found.mean(), np.sqrt(weight) * errors
    return sum(
        NormalDist(one, sigma).cdf(-LOSS)
        for one, sigma in zip(middle.tolist(), left.tolist(), strict=True)
    )


def table(names: Sequence[str], seeds: int, turns: int) -> Iterator[str]:
    """A line for each data set, with and without a shift, by each rule."""
    yield (
        "| data | shift | rule | first | last: mean (range) | last at least the first"
        " | promotions | measured to lose > .5 | truly, estimated | labels |"
    )
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name in names:
        for shift in (False, True):
            for rule in RULES:
                found = [turned(name, rule, shift, turns, seed) for seed in range(seeds)]
                gains = [gain for one in found for gain in one.gains]
                last = [one.after[-1] for one in found]
                kept = sum(one.after[-1] >= one.first for one in found)
                cells = [
                    name,
                    "yes" if shift else "no",
                    rule,
                    f"{100 * np.mean([one.first for one in found]):.1f}",
                    f"{100 * np.mean(last):.1f} ({100 * min(last):.1f} to {100 * max(last):.1f})",
                    f"{kept} of {seeds}",
                    f"{len(gains)} of {seeds * turns}",
                    f"{sum(gain < -LOSS for gain, _ in gains)}",
                    f"{losing(gains):.1f}",
                    f"{np.mean([one.labels for one in found]):.0f}",
                ]
                yield f"| {' | '.join(cells)} |"


WORDS = """\
Accuracy in % on rows that nothing sees (all that are left), which come from where the answers come
from; linear, {first} rows at first, {turns} turns of up to {traffic} answers, seeds 0 to {last}.
{corrected:.0f} % of a turn's errors are corrected, {drawn} answers drawn at random and labelled.
*Now*: corrections and drawn answers train, models of the same recipe that had not seen them judge
by the drawn ones, these are weighed before the older test rows, and what is expected to gain goes
live. *Once*: drawn answers judge one update and train from the next on, as they do where a method
keeps no answers out of fold. *Kept*: drawn answers judge for good. *Before*: all that is labelled
is divided by lot, and what risks the loss of a point with 20 % / k² at most goes live. *Always*:
every version goes live. With a shift the first version has seen the shorter 60 % of the reviews,
the paler 60 % of the digits, the newer 60 % of the customers alone, and everything after comes from
the rest. The unseen rows tell a true gain with a standard error of .2 to 1.6 points, so that some
promotions are measured to lose more than half a point and do not; how many truly do is estimated
from all of a line together."""


def main() -> int:
    """Prints the table with its words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--data", nargs="*", choices=NAMES, default=NAMES)
    given = parser.parse_args()
    figures = {"first": FIRST, "traffic": TRAFFIC, "drawn": DRAWN}
    last, corrected = given.seeds - 1, 100 * CORRECTED
    print(WORDS.format(**figures, turns=given.turns, last=last, corrected=corrected), end="\n\n")
    for line in table(given.data, given.seeds, given.turns):
        print(line, flush=True)
        print(line, file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
