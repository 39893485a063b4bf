"""Forgetting: updates of known true change on the earlier rows, and which of them are refused.

    python -m benchmarks.evidence.forgetting [--trials N]

Rows are drawn as for the gate. The figures are those of `feilun.metrics.comparison.judge` and
`feilun.evaluation.expectation`; the rule is that of `feilun.evaluation.gate_parts.forgot`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from benchmarks.evidence.families import FAMILIES, RESAMPLES
from benchmarks.evidence.gate import APART, MARGIN, pairs

from feilun.evaluation.expectation import expected, prior, together
from feilun.evaluation.gate import UNSURE
from feilun.evaluation.gate_parts import forgot
from feilun.metrics.comparison import Judged, judge
from feilun.metrics.intervals import paired_difference, paired_error, paired_risk

ROWS = (30, 100, 300, 1000)
TIMES = (2, 1, 0, -2, -3, -5)
"""True changes on the earlier rows, in margins."""
CONFIDENCE = 0.95
BEFORE = 0.5
"""The risk of having lost more than the margin beyond which an update was refused before."""
RULES = ("no rule", "before", "now", "a proof beyond the margin")

WORDS = """\
Share of updates that are refused for what they lost of the earlier rows, {trials:,} drawn for each
cell, by the true change on these rows in margins: where it is not below zero a refusal is an error,
where it is -2 or less letting it pass is one. In brackets the rule of before: a loss of more than
the margin is more likely than not. *Now*: the loss is proven at 95 % and larger than the margin as
measured."""
CHOSEN = """\
The same for shares of right rows where the live version is the best on these rows of three equal
ones, as versions are that the gate let pass: luck has made it look better on them than it is."""
GAINS = """\
What comes of updates that are drawn from a population: true gains of 2 ± 2 points in what customers
ask now, of which 200 rows are drawn, and of 0 ± 2 points on the earlier rows, correlation one half;
{trials:,} for each line, 10 % of the rows answered differently, the whole gate. Means over all
updates in points, 0 for a refused one: the gain in what customers ask now, on the earlier rows, and
where both are asked alike. *Forgot*: of those that went live the share that truly lost two points
or more of the earlier rows. *A proof beyond the margin*: the loss is proven to be larger than the
margin."""


def _refused(judged: Judged, rows: int, margin: float) -> tuple[bool, bool]:
    """Whether an update is refused now, and whether it was before."""
    now = forgot(judged.gain.value, judged.loss_p, rows, margin, CONFIDENCE)
    return now, judged.risk > BEFORE


def refusals(family: str, rows: int, change: float, trials: int) -> tuple[float, float]:
    """The shares of `trials` updates that are refused now, and that were before."""
    how = FAMILIES[family]
    generator = np.random.default_rng([11, rows, round(1e4 * (change + 1))])
    found = []
    for trial in range(trials):
        first, second = how.draw(generator, rows, change, APART)
        judged = judge(
            first, second, how.metric, margin=how.margin, resamples=RESAMPLES, seed=trial
        )
        found.append(_refused(judged, rows, how.margin))
    now, before = np.array(found).mean(axis=0).tolist()
    return now, before


def _shares(new: np.ndarray, old: np.ndarray) -> Judged:
    """What `judge` says of right rows."""
    return Judged(
        paired_difference(new, old),
        paired_error(new, old),
        paired_risk(new, old, MARGIN),
        1 - paired_risk(new, old),
    )


def chosen(rows: int, change: float, trials: int) -> tuple[float, float]:
    """As `refusals`, the live version being the best of three equal ones on these rows. Rows are
    easy or hard for all versions alike."""
    generator = np.random.default_rng([12, rows, round(1e4 * (change + 1))])
    found = []
    for _ in range(trials):
        ease = generator.beta(4.5, 0.6, rows)
        versions = generator.random((3, rows)) < ease
        live = versions[versions.sum(axis=1).argmax()]
        new = generator.random(rows) < np.clip(ease + change, 0, 1)
        found.append(_refused(_shares(new, live), rows, MARGIN))
    now, before = np.array(found).mean(axis=0).tolist()
    return now, before


@dataclass(frozen=True)
class Outcome:
    """Means over all updates, in points, and the share of promotions that truly `forgot`."""

    asked: float
    earlier: float
    promoted: float
    forgot: float


def outcomes(rows: int, trials: int) -> dict[str, Outcome]:
    """What each rule makes of the same updates, judged on so many earlier rows."""
    generator = np.random.default_rng([13, rows])
    truth = generator.multivariate_normal([2, 0], [[4, 2], [2, 4]], trials).clip(-9, 9) / 100
    passed = {rule: np.zeros(trials, bool) for rule in RULES}
    for trial, (now, then) in enumerate(truth.tolist()):
        fresh = _shares(*pairs(generator, 200, now))
        new, old = pairs(generator, rows, then)
        earlier = _shares(new, old)
        gain, error = together((fresh.gain.value, fresh.error), (earlier.gain.value, earlier.error))
        before = prior(float(old.mean()), True, 1.1)
        whole = NormalDist(gain, error)
        safe = whole.cdf(-MARGIN) <= UNSURE and whole.inv_cdf((1 + CONFIDENCE) / 2) >= 0
        gains = expected(gain, error, before) > 0 and safe
        refused, refused_before = _refused(earlier, rows, MARGIN)
        passed["no rule"][trial] = gains
        passed["before"][trial] = gains and not refused_before
        passed["now"][trial] = gains and not refused
        passed["a proof beyond the margin"][trial] = gains and earlier.risk < CONFIDENCE
    return {
        rule: Outcome(
            float((truth[:, 0] * live).mean()),
            float((truth[:, 1] * live).mean()),
            float(live.mean()),
            float((truth[live, 1] <= -0.02).mean()),
        )
        for rule, live in passed.items()
    }


def _cells(found: list[tuple[float, float]]) -> str:
    return " | ".join(f"{100 * now:.0f} % ({100 * before:.0f} %)" for now, before in found)


def table(trials: int) -> Iterator[str]:
    """Refusals by family, rows and true change."""
    yield "| family | earlier rows | " + " | ".join(f"{times:+d}" for times in TIMES) + " |"
    yield "| --- | ---: |" + " ---: |" * len(TIMES)
    for name, family in FAMILIES.items():
        for rows in ROWS:
            found = [refusals(name, rows, times * family.margin, trials) for times in TIMES]
            said = f"{name} (`{family.metric}`, margin {family.margin})"
            yield f"| {said} | {rows:,} | {_cells(found)} |"


def chosen_table(trials: int) -> Iterator[str]:
    """Refusals where luck chose the live version."""
    yield "| earlier rows | " + " | ".join(f"{times:+d}" for times in TIMES) + " |"
    yield "| ---: |" + " ---: |" * len(TIMES)
    for rows in ROWS:
        yield f"| {rows:,} | {_cells([chosen(rows, t * MARGIN, trials) for t in TIMES])} |"


def gains_table(trials: int) -> Iterator[str]:
    """What promotions gain, by rule."""
    yield "| earlier rows | rule | go live | gain now | gain earlier | both alike | forgot |"
    yield "| ---: | --- |" + " ---: |" * 5
    for rows in ROWS:
        for rule, one in outcomes(rows, trials).items():
            points = [100 * one.asked, 100 * one.earlier, 50 * (one.asked + one.earlier)]
            said = " | ".join(f"{value:+.2f}" for value in points)
            cells = f"{100 * one.promoted:.0f} % | {said} | {100 * one.forgot:.0f} %"
            yield f"| {rows:,} | {rule} | {cells} |"


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    trials = parser.parse_args().trials
    for words, lines in (
        (WORDS.format(trials=trials), table(trials)),
        (CHOSEN, chosen_table(4 * trials)),
        (GAINS.format(trials=10 * trials), gains_table(10 * trials)),
    ):
        print(words, end="\n\n")
        for line in lines:
            print(line, flush=True)
        print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
