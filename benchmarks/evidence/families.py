"""The gate by one metric of each family, on versions whose true difference is known.

    python -m benchmarks.evidence.families [--trials N]

Rows are drawn so that the candidate truly gains what is asked for. The figures are those of
`feilun.metrics.comparison.judge` and `feilun.evaluation.expectation`, which the gate asks.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from benchmarks.evidence.gate import APART, pairs

from feilun.evaluation.expectation import beyond, expected, prior
from feilun.evaluation.gate import UNSURE
from feilun.families.classes.classification import Classified
from feilun.metrics.comparison import judge, values
from feilun.metrics.measured import Measured
from feilun.metrics.numbers import Numbers
from feilun.metrics.ranking import Ranking
from feilun.metrics.spans import Spans

ROWS = (100, 300, 1000)
TIMES = (-5, -2, -1, 0, 1, 2, 5)
"""True differences, in margins."""
RESAMPLES = 400

PROVEN = 0.025
"""The most that the risk of a loss beyond the margin may be for a version that is only cheaper: the
interval of 95 % that is shown lies above it."""
SIMILAR = 0.02
"""Share of the rows that a cheaper version of a model answers otherwise: int8, a cascade."""

CHEAPER = """\
Share of versions that are let pass for being cheaper, {trials:,} drawn for each cell: the risk of
losing more than the margin is at most 2.5 %, so that the interval of 95 % which is shown lies above
it. In the column -1 they truly lose the margin itself: at most one of twenty may pass there, and
fewer to the left of it. *Many differ*: as of any two
versions; *few differ*: as of an int8 variant or a cascade, which answers {similar:.0f} % of the
rows otherwise."""
CHAINS = """\
Ten cheaper versions in a row, each of which truly loses half a margin to the one before; 1,000
rows, few of which differ. Share of series whose last version truly lost more than one margin, and
more than two, to the best that was ever live: where each is held against the last one alone, and
against the best one, too, as it is done."""

WORDS = """\
Share of candidates of which a gain is to be expected, {trials:,} drawn for each cell, by the true
gain in margins, as many training rows and the first attempt. A third to half of the equal ones (0)
pass, which loses nothing."""

Draw = Callable[[np.random.Generator, int, float, float], tuple[Measured, Measured]]


@dataclass(frozen=True)
class Family:
    """`draw` makes the candidate and the live version on the same rows, apart by a true gain in
    `metric`, and differing on a share of the rows; `margin` is in the metric's unit."""

    metric: str
    margin: float
    draw: Draw


def _share(
    generator: np.random.Generator, rows: int, gain: float, apart: float
) -> tuple[Classified, Classified]:
    new, old = pairs(generator, rows, gain, apart)
    truth = np.zeros(rows, dtype=int)
    first, second = (np.stack([right, ~right], axis=1) * 0.8 + 0.1 for right in (new, old))
    return Classified(truth, first), Classified(truth, second)


def _mean_error(
    generator: np.random.Generator, rows: int, gain: float, apart: float
) -> tuple[Numbers, Numbers]:
    """Errors of two normal distributions that correlate by one less what is `apart`; the mean of
    |error| of one with spread s is s times the root of 2 / pi."""
    shared, own = generator.normal(size=rows), generator.normal(size=rows)
    old, alike = 0.2 * shared, 1 - apart
    new = (0.2 - gain / math.sqrt(2 / math.pi)) * (alike * shared + math.sqrt(1 - alike**2) * own)
    truth = generator.normal(size=rows)
    return Numbers(truth, truth + new), Numbers(truth, truth + old)


def _span_f1(
    generator: np.random.Generator, rows: int, gain: float, apart: float
) -> tuple[Spans, Spans]:
    """One to three spans a row; a version that does not find a span ends it a character late, so
    that its true F1 is the share of spans that it finds."""
    counts = generator.integers(1, 4, rows)
    new, old = pairs(generator, int(counts.sum()), gain, apart)
    ends = np.cumsum(counts)
    truth, first, second = [], [], []
    for start, end in zip((ends - counts).tolist(), ends.tolist(), strict=True):
        places = range(start, end)
        truth.append([(9 * i, 9 * i + 4, "X") for i in places])
        first.append([(9 * i, 9 * i + 5 - int(new[i]), "X") for i in places])
        second.append([(9 * i, 9 * i + 5 - int(old[i]), "X") for i in places])
    return Spans(truth, first), Spans(truth, second)


def _ndcg(
    generator: np.random.Generator, rows: int, gain: float, apart: float
) -> tuple[Ranking, Ranking]:
    """One relevant item, at a random place of the first ten where a version finds it; where both
    find it, at the same place."""
    mean = float(np.mean(1 / np.log2(np.arange(10) + 2)))
    new, old = pairs(generator, rows, gain / mean, apart)
    places = generator.integers(0, 10, rows).tolist()
    lists = [
        [[0] * place + [1] if hit else [0] for hit, place in zip(found, places, strict=True)]
        for found in (new.tolist(), old.tolist())
    ]
    # Fillers differ from each other, as an item counts where it stands first.
    first, second = (
        [[item or -at - 1 for at, item in enumerate(row)] for row in version] for version in lists
    )
    return Ranking([{1}] * rows, first), Ranking([{1}] * rows, second)


FAMILIES = {
    "share": Family("accuracy", 0.01, _share),
    "mean error": Family("mae", 0.005, _mean_error),
    "F1 of spans": Family("f1", 0.01, _span_f1),
    "nDCG": Family("ndcg", 0.01, _ndcg),
}


def passed(family: str, rows: int, gain: float, trials: int, seed: int = 0) -> float:
    """The share of `trials` candidates of which a gain is to be expected, at a first attempt."""
    how = FAMILIES[family]
    generator = np.random.default_rng([seed, rows, round(1e4 * (gain + 1))])
    hits = 0
    for trial in range(trials):
        first, second = how.draw(generator, rows, gain, APART)
        found = judge(
            first,
            second,
            how.metric,
            margin=how.margin,
            resamples=RESAMPLES,
            seed=trial,
        )
        level = values(second)[how.metric]
        before = prior(level or 0.0, second.higher_is_better[how.metric])
        hits += expected(found.gain.value, found.error, before) > 0 and found.risk <= UNSURE
    return hits / trials


_FEW = " | few differ: -1 | 0 |"


def lost_beyond(first: Measured, second: Measured, how: Family, attempts: int, seed: int) -> float:
    """The risk that a version is let pass by for being cheaper, as `feilun.evaluation.compare` has
    it."""
    found = judge(first, second, how.metric, margin=how.margin, resamples=RESAMPLES, seed=seed)
    level = 1.0 if second.higher_is_better[how.metric] else values(second)[how.metric] or 1.0
    rows = first.rows
    risk = beyond(found.gain.value, found.error, how.margin, rows, level=level, attempts=attempts)
    return max(found.risk, risk)


def cheaper(
    family: str, rows: int, gain: float, trials: int, apart: float = APART, seed: int = 0
) -> float:
    """The share of `trials` candidates that are shown to lose no more than the margin."""
    how = FAMILIES[family]
    generator = np.random.default_rng([seed, rows, round(1e4 * (gain + 1)), round(100 * apart)])
    hits = 0
    for trial in range(trials):
        first, second = how.draw(generator, rows, gain, apart)
        hits += lost_beyond(first, second, how, 1, trial) <= PROVEN
    return hits / trials


def chains(family: str, trials: int, against_best: bool, seed: int = 0) -> tuple[float, float]:
    """The share of series of ten candidates that end more than one margin, and more than two, below
    the best version. The differences between the best version and each candidate are drawn anew,
    which a candidate's true loss sets."""
    how = FAMILIES[family]
    generator = np.random.default_rng([seed, 10, against_best])
    ends = []
    for trial in range(trials):
        lost = 0.0
        for attempts in range(1, 11):
            step = -how.margin / 2
            risk = [lost_beyond(*how.draw(generator, 1000, step, SIMILAR), how, 1, trial)]
            if against_best and lost:
                drawn = how.draw(generator, 1000, step - lost, SIMILAR)
                risk.append(lost_beyond(*drawn, how, attempts, trial))
            if max(risk) <= PROVEN:
                lost += how.margin / 2
        ends.append(lost / how.margin)
    found = np.array(ends)
    return float((found > 1).mean()), float((found > 2).mean())


def cheaper_table(trials: int) -> Iterator[str]:
    """Shares of cheaper versions that pass, by family, rows and true gain in margins."""
    times = (-3, -2, -1, -0.5, 0)
    yield ("| family | rows | " + " | ".join(f"{one:+g}" for one in times) + _FEW)
    yield "| --- | ---: |" + " ---: |" * (len(times) + 2)
    for name, family in FAMILIES.items():
        for rows in (*ROWS, 3000):
            found = [cheaper(name, rows, one * family.margin, trials) for one in times]
            found += [cheaper(name, rows, one * family.margin, trials, SIMILAR) for one in (-1, 0)]
            cells = " | ".join(f"{100 * share:.1f} %" for share in found)
            yield f"| {name} (`{family.metric}`, margin {family.margin}) | {rows:,} | {cells} |"


def chain_table(trials: int) -> Iterator[str]:
    """Where series of cheaper versions end."""
    yield "| family | the last alone: > 1 margin | > 2 | the best one, too: > 1 margin | > 2 |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name in FAMILIES:
        found = [*chains(name, trials, False), *chains(name, trials, True)]
        yield f"| {name} | " + " | ".join(f"{100 * share:.0f} %" for share in found) + " |"


def table(trials: int) -> Iterator[str]:
    """Shares of candidates that pass, by family, rows and true gain in margins."""
    yield "| family | rows | " + " | ".join(f"{times:+d}" for times in TIMES) + " |"
    yield "| --- | ---: |" + " ---: |" * len(TIMES)
    for name, family in FAMILIES.items():
        for rows in ROWS:
            shares = [passed(name, rows, times * family.margin, trials) for times in TIMES]
            cells = " | ".join(f"{100 * share:.0f} %" for share in shares)
            yield f"| {name} (`{family.metric}`, margin {family.margin}) | {rows:,} | {cells} |"


def main() -> int:
    """Prints the table with its words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    print(WORDS.format(trials=trials), end="\n\n")
    for line in table(trials):
        print(line, flush=True)
    for words, lines in (
        (CHEAPER.format(similar=100 * SIMILAR, trials=trials), cheaper_table(trials)),
        (CHAINS, chain_table(max(1, trials // 10))),
    ):
        print("\n" + words, end="\n\n")
        for line in lines:
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
