"""The wheel turned: what updates gain on rows never seen, with and without a shift.

    python -m benchmarks.evidence.flywheel [--seeds N] [--turns N] [--data NAME ...]

The linear stage on real rows. A first version learns some; each turn brings new answers, of whose
errors a share is corrected, and a few answers drawn at random are labelled to judge by; the gate
decides. Then the version that is live answers rows that nothing has seen. With a shift those who
ask from the first turn on are others: longer reviews, thicker digits, customers of long standing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from benchmarks.evidence._few import named

from feilun.engines.linear import pick, weigh
from feilun.evaluation.expectation import expected, prior
from feilun.evaluation.gate import UNSURE
from feilun.metrics.intervals import paired_difference, paired_error, paired_risk
from feilun.tasks import base as tasks
from feilun.tasks.base import fit_features
from feilun.training import logistic
from feilun.training.logistic import Matrix

FIRST, TRAFFIC, UNSEEN = 600, 300, 800
"""Rows of the first version, answers of a turn, and rows that nothing sees."""
TEST = 0.15
"""Of the first rows, that judge."""
CORRECTED, DRAWN = 0.5, 60
"""The share of a turn's errors that is corrected, and answers that are drawn and labelled."""
STRENGTH = 10.0
LOSS = 0.005
LATE = 0.6
"""From this part of the data on rows belong to the shift."""
NAMES = ("English", "Chinese", "digits", "churn")
RULES = ("now", "before", "always")


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
    held = min(UNSEEN, len(others) * 2 // 5)
    unseen, asked = others[:held], others[held:]
    size = min(TRAFFIC, len(asked) // turns)
    test = int(TEST * len(first))
    parts = [asked[turn * size : (turn + 1) * size] for turn in range(turns)]
    return Rows(first[test:], first[:test], parts, unseen)


@dataclass(frozen=True)
class Turned:
    """Accuracies on the unseen rows: of the `first` version, and after each turn; the gain that
    each promotion truly had there; and `labels` spent."""

    first: float
    after: list[float]
    gains: list[float]
    labels: int


def turned(name: str, rule: str, shift: bool, turns: int, seed: int) -> Turned:
    """The wheel by one rule."""
    data = pool(name)
    rows, generator = divided(data, shift, turns, seed), np.random.default_rng([seed, 2])
    train, test, learned = rows.train, rows.test, len(rows.train)
    live = Version(data, train)
    first = float(live.right(rows.unseen).mean())
    level, attempts, labels = first, 0, 0
    after, gains = [], []
    for asked in rows.turns:
        wrong = asked[~live.right(asked)]
        corrected = wrong[generator.random(len(wrong)) < CORRECTED]
        drawn = asked[generator.permutation(len(asked))[:DRAWN]]
        labels += len(np.union1d(corrected, drawn))
        if rule == "before":  # all that is labelled is divided by lot
            new = np.union1d(corrected, drawn)
            lot = generator.random(len(new))
            test, train = np.append(test, new[lot < 0.1]), np.append(train, new[lot >= 0.2])
        else:
            test = np.append(test, drawn)
            train = np.append(train, np.setdiff1d(corrected, drawn))
        candidate = Version(data, train)
        attempts += 1
        new_right, old_right = candidate.right(test), live.right(test)
        if _promotes(rule, new_right, old_right, attempts, len(train) / learned):
            reached = float(candidate.right(rows.unseen).mean())
            gains.append(reached - level)
            live, level, attempts, learned = candidate, reached, 0, len(train)
        after.append(level)
    return Turned(first, after, gains, labels)


def _promotes(rule: str, new: np.ndarray, old: np.ndarray, attempts: int, grown: float) -> bool:
    if rule == "always":
        return True
    if rule == "before":
        return paired_risk(new, old, 0.01) <= 0.2 / attempts**2
    found = paired_difference(new, old)
    before = prior(float(old.mean()), True, grown)
    gain = expected(found.value, paired_error(new, old), before, attempts)
    return gain > 0 and found.high >= 0 and paired_risk(new, old, 0.01) <= UNSURE


def table(names: Sequence[str], seeds: int, turns: int) -> Iterator[str]:
    """A line for each data set, with and without a shift, by each rule."""
    yield (
        "| data | shift | rule | first | last: mean (range) | last at least the first"
        " | promotions | that lose > .5 | labels |"
    )
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
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
                    f"{sum(gain < -LOSS for gain in gains)}",
                    f"{np.mean([one.labels for one in found]):.0f}",
                ]
                yield f"| {' | '.join(cells)} |"


WORDS = """\
Accuracy in % on rows that nothing sees (up to {unseen}), which come from where the answers come
from; linear, {first} rows at first, {turns} turns of up to {traffic} answers, seeds 0 to
{last}. {corrected:.0f} % of a turn's errors are corrected, {drawn} answers drawn at random and
labelled. *Now*: corrections train, drawn answers judge, and what is expected to gain goes live.
*Before*: all that is labelled is divided by lot, and what risks the loss of a point with 20 % / k²
at most goes live. *Always*: every version goes live. With a shift the first version has seen the
shorter 60 % of the reviews, the paler 60 % of the digits, the newer 60 % of the customers alone,
and everything after comes from the rest. A promotion that loses more than half a point on the
unseen rows counts as losing; on so few rows half of those that are equal would seem to lose
something."""


def main() -> int:
    """Prints the table with its words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--data", nargs="*", choices=NAMES, default=NAMES)
    given = parser.parse_args()
    figures = {"unseen": UNSEEN, "first": FIRST, "traffic": TRAFFIC, "drawn": DRAWN}
    last, corrected = given.seeds - 1, 100 * CORRECTED
    print(WORDS.format(**figures, turns=given.turns, last=last, corrected=corrected), end="\n\n")
    for line in table(given.data, given.seeds, given.turns):
        print(line, flush=True)
        print(line, file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
