"""Corrections judge nothing: what the gate measures where the true difference is known.

    python -m benchmarks.evidence.selection [--trials N]

Two versions are drawn whose true difference is exact. The live one answers, some of its answers
get labels (all labels are right), and the test rows grow by what the rule lets in. The difference
is measured by the gate's own interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from feilun.metrics.intervals import paired_difference

TEST, ANSWERS, DRAWN, REVIEWED = 300, 2000, 100, 200
"""Test rows there are already, answers of one turn, those of them drawn at random, and those that
a reviewer looks at because they are doubtful."""
SHARE = 0.1
"""Of new rows that go to the test rows by lot."""
APART = 0.1
EASE = (4.5, 0.6)
"""How easy rows are: a beta distribution of the probability that the live version is right."""
DIFFERENCES = (-0.02, 0.0, 0.02)

WORDS = """\
Test rows: {test} from the customer's own file, and of {answers:,} answers of a turn what each rule
lets in. *Before*: a tenth of whatever was labelled, by lot, as all new rows. *Left over*: {drawn}
drawn at random from the answers that no training has learned from, after the corrections were
learned. *Now*: {drawn} drawn at random from all answers of the turn, whoever labelled them; what
was labelled for another reason trains. Mean of the differences measured, in points, {trials:,}
draws for each line; standard errors are at most {error:.2f}. Behind each the share of the intervals
(95 %) that hold the truth."""


@dataclass(frozen=True)
class Rows:
    """`ease` is how sure the live version is, `praise` what it said; `old` and `new` whether the
    live version and the candidate are right."""

    ease: np.ndarray
    praise: np.ndarray
    old: np.ndarray
    new: np.ndarray

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.new[rows], self.old[rows]


def draw(generator: np.random.Generator, count: int, difference: float) -> Rows:
    """Rows on which the candidate truly gains `difference`: four points more of what the live
    version calls praise, four less of the rest."""
    ease = generator.beta(*EASE, count)
    praise = generator.random(count) < 0.5
    right = generator.random(count) < ease
    level = EASE[0] / sum(EASE)
    gain = difference + np.where(praise, 0.04, -0.04)
    flips = np.where(right, (APART - gain) / 2 / level, (APART + gain) / 2 / (1 - level))
    return Rows(ease, praise, right, right ^ (generator.random(count) < flips))


Labelled = Callable[[np.random.Generator, Rows], np.ndarray]
"""Which answers get a label because somebody spoke up or was sent there: bool (rows,)."""


def corrected(share: float) -> Labelled:
    """So many of the errors, whichever they are."""
    return lambda generator, rows: ~rows.old & (generator.random(len(rows.old)) < share)


def reviewed(generator: np.random.Generator, rows: Rows) -> np.ndarray:
    """The least certain answers, right or wrong."""
    return np.argsort(np.argsort(rows.ease, kind="stable"), kind="stable") < REVIEWED


def praised(generator: np.random.Generator, rows: Rows) -> np.ndarray:
    """All errors among what the live version called praise, and none of the others."""
    return ~rows.old & rows.praise


LABELLED: dict[str, Labelled] = {
    "0 % of the errors corrected": corrected(0.0),
    "20 % of the errors corrected": corrected(0.2),
    "50 % of the errors corrected": corrected(0.5),
    "100 % of the errors corrected": corrected(1.0),
    f"the {REVIEWED} least certain answers reviewed": reviewed,
    "a customer corrects praise alone": praised,
}


def measured(
    generator: np.random.Generator, labelled: Labelled, difference: float
) -> Iterator[tuple[str, float, bool]]:
    """For each rule the difference measured, and whether the interval holds the truth."""
    first, traffic = (draw(generator, count, difference) for count in (TEST, ANSWERS))
    chosen = labelled(generator, traffic)
    lot = generator.random(ANSWERS)
    left = np.where(chosen, 1.0, lot)
    rules = {
        "before": np.flatnonzero(chosen & (lot < SHARE)),
        "left over": np.argsort(left)[:DRAWN],
        "now": np.argsort(lot)[:DRAWN],
    }
    for rule, rows in rules.items():
        both = zip(first.take(np.arange(TEST)), traffic.take(rows), strict=True)
        found = paired_difference(*(np.concatenate(pair) for pair in both))
        yield rule, found.value, found.low <= difference <= found.high


def means(name: str, difference: float, trials: int) -> dict[str, tuple[float, float]]:
    """For each rule the mean of the differences measured, and the share of intervals that hold."""
    generator = np.random.default_rng(
        [7, sorted(LABELLED).index(name), round(1e3 * difference) + 99]
    )
    sums: dict[str, list[tuple[float, bool]]] = {}
    for _ in range(trials):
        for rule, value, holds in measured(generator, LABELLED[name], difference):
            sums.setdefault(rule, []).append((value, holds))
    return {
        rule: (float(np.mean([v for v, _ in found])), float(np.mean([h for _, h in found])))
        for rule, found in sums.items()
    }


def table(trials: int) -> Iterator[str]:
    """Means and coverage by what was labelled, by true difference and by rule."""
    yield "| labelled | truth | before | left over | now |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name in LABELLED:
        for difference in DIFFERENCES:
            found = means(name, difference, trials)
            cells = " | ".join(
                f"{100 * found[rule][0]:+.2f}, {100 * found[rule][1]:.0f} %"
                for rule in ("before", "left over", "now")
            )
            yield f"| {name} | {100 * difference:+.0f} | {cells} |"


def main() -> int:
    """Prints the table with its words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    trials = parser.parse_args().trials
    error = 100 * (APART / TEST) ** 0.5 / trials**0.5
    figures = {"test": TEST, "answers": ANSWERS, "drawn": DRAWN, "trials": trials, "error": error}
    print(WORDS.format(**figures), end="\n\n")
    for line in table(trials):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
