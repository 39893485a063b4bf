"""The wheel turned: what updates gain on rows never seen, with and without a shift.

    python -m benchmarks.evidence.flywheel [--seeds N] [--turns N] [--data NAME ...] [--rules R ...]

Cheap stages on real rows: linear models, conditional random fields for entities. A first version
learns some; each turn brings new answers, of whose errors a share is corrected, and a few answers
drawn at random are labelled to judge by; the gate decides. Then the version that is live answers
rows that nothing has seen: as many as are left, since on 800 of them two equal versions are half a
point apart by chance in three of five comparisons. With a shift those who ask from the first turn
on are others: longer texts, thicker digits, customers of long standing (*group*); they call every
second word otherwise (*wording*); or they bring labels that the first version has never met
(*label*).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from benchmarks.evidence._results import over_seeds
from benchmarks.evidence._wheels import NAMES, SHIFTS, Pool, Version, pool

from feilun.evaluation.expectation import expected, prior, together
from feilun.evaluation.gate import UNSURE
from feilun.metrics.comparison import judge, values
from feilun.metrics.measured import Measured
from feilun.training.out_of_fold import FOLDS

FIRST, TRAFFIC, UNSEEN = 600, 300, 800
"""Rows of the first version, answers of a turn, and rows that nothing sees, at least."""
FEWER = {"entities": 0.5}
"""The share of the first two, where learning takes long."""
MOST = {"entities": 1500}
"""Rows that nothing sees at most, where each takes long to answer."""
TEST = 0.15
"""Of the first rows, that judge."""
CORRECTED, DRAWN = 0.5, 60
"""The share of a turn's errors that is corrected, and answers that are drawn and labelled."""
LOSS, MARGIN = 0.005, 0.01
LATE = 0.6
"""From this part of the data on rows belong to the shift."""
RULES = ("now", "once", "kept", "before", "always")
PER_HOUR = 0.05
"""What the machine costs an hour, as ``serving.machine_per_hour`` has it by default."""


@dataclass(frozen=True)
class Rows:
    """Row numbers: those of the first version, those that judge it, the answers of each turn, and
    what nothing sees; these two come with the shift, if there is one, and `usual` are rows that
    nothing sees of before it."""

    train: np.ndarray
    test: np.ndarray
    turns: list[np.ndarray]
    unseen: np.ndarray
    usual: np.ndarray


def divided(name: str, data: Pool, shift: str, turns: int, seed: int) -> Rows:
    """The rows of a wheel, drawn by the seed."""
    order = np.random.default_rng([seed, 1]).permutation(data.count)
    late = np.arange(len(order)) >= LATE * len(order)
    if shift == "group":
        late = data.usual[order] >= LATE
    early = order[~late]
    if shift == "label":
        early = early[~data.fresh[early]]
    count, traffic = (int(size * FEWER.get(name, 1.0)) for size in (FIRST, TRAFFIC))
    first, rest, others = early[:count], early[count:], order[late]
    held = max(min(UNSEEN, len(others) * 2 // 5), len(others) - turns * traffic)
    unseen, asked = others[:held], others[held:]
    if not shift:
        unseen = np.append(unseen, rest)
    size, most = min(traffic, len(asked) // turns), MOST.get(name, sys.maxsize)
    parts = [asked[turn * size : (turn + 1) * size] for turn in range(turns)]
    usual = unseen if shift == "wording" else rest
    if shift == "wording":
        unseen, parts = unseen + data.count, [part + data.count for part in parts]
    test = int(TEST * len(first))
    return Rows(first[test:], first[:test], parts, unseen[:most], usual[:most])


@dataclass(frozen=True)
class Turned:
    """The primary metric on the unseen rows: of the `first` version, and `after` each turn; on rows
    of `before` the shift; the gain that each promotion had, with its standard error; the `labels`
    spent until each turn, and what 1,000 answers of the version that is live `cost` then, the first
    one's before, in millionths."""

    before: float
    first: float
    after: list[float]
    gains: list[tuple[float, float]]
    labels: list[int]
    cost: list[float]


@cache
def turned(name: str, rule: str, shift: str, turns: int, seed: int) -> Turned:
    """The wheel by one rule."""
    data = pool(name, shift == "wording")
    rows = divided(name, data, shift, turns, seed)
    generator = np.random.default_rng([seed, 2])
    train, test, learned = rows.train, rows.test, len(rows.train)
    live = data.learned(train)
    before = _value(data, data.measured(rows.usual, live.answers(rows.usual)[0]))
    was, price = _looked(data, live, rows.unseen)
    first = _value(data, was)
    attempts, spent, judged = 0, 0, np.zeros(0, int)
    after, gains, labels, cost = [], [], [], [price]
    for asked in rows.turns:
        wrong = asked[data.wrong(asked, live.answers(asked)[0])]
        corrected = wrong[generator.random(len(wrong)) < CORRECTED]
        drawn = asked[generator.permutation(len(asked))[:DRAWN]]
        spent += len(np.union1d(corrected, drawn))
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
        else:  # what was drawn before has judged, and trains
            train = np.concatenate([train, judged, np.setdiff1d(corrected, drawn)])
            parts, judged = [drawn, test], drawn
        candidate = data.learned(train)
        attempts += 1
        pairs = [_pair(data, candidate.answers(part)[0], live, part) for part in parts]
        if rule == "now":
            said = _out_of_fold(data, train, drawn, generator)
            pairs.insert(0, _pair(data, said, live, drawn))
        adds = not live.knows(train).all()
        if _promotes(data, rule, pairs, attempts, len(train) / learned, adds):
            now, price = _looked(data, candidate, rows.unseen)
            found = judge(now, was, data.metric, margin=LOSS)
            gains.append((found.gain.value, found.error))
            live, was, attempts, learned = candidate, now, 0, len(train)
        after.append(_value(data, was))
        labels.append(spent)
        cost.append(price)
    return Turned(before, first, after, gains, labels, cost)


def _value(data: Pool, measured: Measured) -> float:
    found = values(measured)[data.metric]
    assert found is not None
    return found


def _looked(data: Pool, version: Version, rows: np.ndarray) -> tuple[Measured, float]:
    """What it says to rows that nothing sees, and what 1,000 answers cost in millionths."""
    said, seconds = version.answers(rows)
    return data.measured(rows, said), seconds / len(rows) * 1000 / 3600 * PER_HOUR * 1e6


Pair = tuple[Measured, Measured] | None
"""The candidate's and the live version's answers to rows whose labels the live one knows."""


def _pair(data: Pool, said: np.ndarray, live: Version, rows: np.ndarray) -> Pair:
    known = live.knows(rows)
    if not known.any():
        return None
    rows, said = rows[known], said[known]
    return data.measured(rows, said), data.measured(rows, live.answers(rows)[0])


def _out_of_fold(
    data: Pool, train: np.ndarray, asked: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """What models say to the rows `asked`, which are among `train`, that learn without them, a
    third of them at a time."""
    lots = generator.permutation(len(train)) % FOLDS
    found: np.ndarray | None = None
    for fold in range(FOLDS):
        own = np.isin(asked, train[lots == fold])
        if own.any():
            said = data.learned(train[lots != fold]).answers(asked[own])[0]
            found = np.empty(len(asked), said.dtype) if found is None else found
            found[own] = said
    assert found is not None
    return found


def _promotes(
    data: Pool, rule: str, pairs: Sequence[Pair], attempts: int, grown: float, adds: bool
) -> bool:
    """As `feilun.evaluation` decides; *before*, as it did. Who `adds` labels may be expected to
    lose up to the margin on the others."""
    if rule == "always":
        return True
    known = [pair for pair in pairs if pair is not None]
    if not known:
        return False
    found = [judge(new, old, data.metric, margin=MARGIN) for new, old in known]
    if rule == "before":
        return found[0].risk <= 0.2 / attempts**2
    value, error = together(*((one.gain.value, one.error) for one in found))
    level = np.average([_value(data, old) for _, old in known], weights=[o.rows for _, o in known])
    gain = expected(value, error, prior(float(level), True, grown), attempts)
    risk = NormalDist(value, max(error, 1e-9)).cdf(-MARGIN)
    unproven = value + 1.96 * error >= 0 and risk <= UNSURE
    return unproven and (gain > 0 or (adds and gain >= -MARGIN))


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


def runs(name: str, rule: str, shift: str, seeds: int, turns: int) -> list[Turned]:
    """A wheel for each seed."""
    return [turned(name, rule, shift, turns, seed) for seed in range(seeds)]


def _lines(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each data set without a shift and with each that it can have."""
    for name in names:
        yield from ((name, shift) for shift in ("", *SHIFTS[name]))


def table(names: Sequence[str], rules: Sequence[str], seeds: int, turns: int) -> Iterator[str]:
    """A line for each data set and shift, by each rule."""
    yield (
        "| data | shift | rule | first | last: mean (range) | last at least the first"
        " | promotions | measured to lose > .5 | truly, estimated | labels |"
    )
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, shift in _lines(names):
        for rule in rules:
            found = runs(name, rule, shift, seeds, turns)
            gains = [gain for one in found for gain in one.gains]
            last = [one.after[-1] for one in found]
            kept = sum(one.after[-1] >= one.first for one in found)
            cells = [
                name,
                shift or "–",
                rule,
                f"{100 * np.mean([one.first for one in found]):.1f}",
                f"{100 * np.mean(last):.1f} ({100 * min(last):.1f} to {100 * max(last):.1f})",
                f"{kept} of {seeds}",
                f"{len(gains)} of {seeds * turns}",
                f"{sum(gain < -LOSS for gain, _ in gains)}",
                f"{losing(gains):.1f}",
                f"{np.mean([one.labels[-1] for one in found]):.0f}",
            ]
            yield f"| {' | '.join(cells)} |"


def by_turn(names: Sequence[str], rule: str, seeds: int, turns: int) -> Iterator[str]:
    """What is reached, what 1,000 answers cost and what labels are spent, turn by turn."""
    yield f"| data | shift | | first | {' | '.join(str(turn + 1) for turn in range(turns))} |"
    yield f"| --- | --- | --- | {' | '.join(['---:'] * (turns + 1))} |"
    for name, shift in _lines(names):
        found = runs(name, rule, shift, seeds, turns)
        told = {
            "%": ([[100 * value for value in (one.first, *one.after)] for one in found], 1),
            "cost": ([one.cost for one in found], 2),
            "labels": ([[0, *one.labels] for one in found], 0),
        }
        for what, (wheels, digits) in told.items():
            cells = [over_seeds(turn, digits) for turn in zip(*wheels, strict=True)]
            yield f"| {name} | {shift or '–'} | {what} | {' | '.join(cells)} |"


def won_back(names: Sequence[str], rule: str, seeds: int, turns: int) -> Iterator[str]:
    """What a shift costs the first version, and how much of it two turns win back."""
    yield (
        "| data | shift | before it | after it | two turns later | it costs | won back"
        " | at least half of it |"
    )
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, shift in _lines(names):
        if not shift or turns < 2:
            continue
        found = runs(name, rule, shift, seeds, turns)
        lost = np.array([one.before - one.first for one in found])
        back = np.array([one.after[1] - one.first for one in found])
        share = f"{100 * back.mean() / lost.mean():.0f} %" if lost.mean() > LOSS else "–"
        cells = [
            name,
            shift,
            f"{100 * np.mean([one.before for one in found]):.1f}",
            f"{100 * np.mean([one.first for one in found]):.1f}",
            f"{100 * np.mean([one.after[1] for one in found]):.1f}",
            over_seeds(100 * lost),
            f"{over_seeds(100 * back)}, {share}",
            f"{int((back >= lost / 2).sum())} of {seeds}",
        ]
        yield f"| {' | '.join(cells)} |"


WORDS = """\
Accuracy, of entities F1, in % on rows that nothing sees (all that are left, of entities {most:,}),
which come from where the answers come from; linear models, of entities conditional random fields,
{first} rows at first, {turns} turns of up to {traffic} answers (entities: half of both), seeds 0 to
{last}.
{corrected:.0f} % of a turn's errors are corrected, {drawn} answers drawn at random and labelled.
*Now*: corrections and drawn answers train, models of the same recipe that had not seen them judge
by the drawn ones, these are weighed before the older test rows, and what is expected to gain goes
live. *Once*: drawn answers judge one update and train from the next on, as they do where a method
keeps no answers out of fold. *Kept*: drawn answers judge for good. *Before*: all that is labelled
is divided by lot, and what risks the loss of a point with 20 % / k² at most goes live. *Always*:
every version goes live. With the shift *group* the first version has seen the shorter 60 % of the
texts, the paler 60 % of the digits, the newer 60 % of the customers alone, and everything after
comes from the rest. With *wording* those who ask from the first turn on call every second word (of
Chinese: character) otherwise. With *label* the first version has seen no 8 and no 9, no
organisation. The unseen rows tell a true gain with a standard error of .2 to 1.6 points, so that
some promotions are measured to lose more than half a point and do not; how many truly do is
estimated from all of a line together."""
BY_TURN = """\
Turn by turn, by the rule *{rule}*: the metric in %, what 1,000 answers of the live version cost in
millionths of a unit (processor seconds of reading and answering, at {per_hour} an hour), and the
labels spent so far; means with intervals of 95 % over the seeds."""
WON_BACK = """\
What the shift costs the first version, in points, and what two turns win back of it, by the rule
*{rule}*. Before it: on rows like those that the first version learned; of a new wording the same
rows in their old words. Longer reviews are also harder for whoever has learned them, so not all
that a shift costs can be won back."""


def main() -> int:
    """Prints the tables with their words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--data", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--rules", nargs="*", choices=RULES, default=RULES)
    given = parser.parse_args()
    size, rule = (given.seeds, given.turns), given.rules[0]
    words = WORDS.format(
        first=FIRST,
        traffic=TRAFFIC,
        drawn=DRAWN,
        turns=given.turns,
        last=given.seeds - 1,
        corrected=100 * CORRECTED,
        most=MOST["entities"],
    )
    for text, lines in (
        (words, table(given.data, given.rules, *size)),
        (BY_TURN.format(rule=rule, per_hour=PER_HOUR), by_turn(given.data, rule, *size)),
        (WON_BACK.format(rule=rule), won_back(given.data, rule, *size)),
    ):
        print(text, end="\n\n")
        for line in lines:
            print(line, flush=True)
            print(line, file=sys.stderr)
        print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
