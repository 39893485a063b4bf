"""The gate on versions whose true difference is known: what it lets pass, and what that gains.

    python -m benchmarks.evidence.gate [--trials N]

Rows are drawn: the live version is right with the probability that belongs to the row, a candidate
likewise, shifted so that the true difference is exact. Everything else is the gate's own code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from feilun.evaluation.consultations import luck
from feilun.evaluation.expectation import expected, prior, settling
from feilun.evaluation.gate import UNSURE
from feilun.metrics.intervals import paired_difference, paired_error, paired_risk

MARGIN = 0.01
RISK = 0.2
"""What a candidate was allowed to risk before: a loss of more than the margin."""
DIFFERENCES = (-0.05, -0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.05)
ROWS = (100, 300, 1000, 3000)
APART = 0.1
"""Share of the rows that two equal versions answer differently: as on the reviews."""


GROWN = 1.2
"""By how many times an update's training rows are more, where that is said."""
POPULATIONS = ((0.003, 0.007), (0.0, 0.01), (-0.005, 0.01), (0.0, 0.02))
"""Mean and standard deviation of true gains."""


WORDS = {
    "table": """\
Share of candidates that go live, {trials:,} drawn for each cell; {apart:.0f} % of the rows answered
differently, the live version right on 85 %, as many training rows, first attempt. *Now*: a gain is
to be expected. *Before*: the risk of losing more than a point is at most 20 %.""",
    "gains": """\
What promotions truly gain, in points, where candidates are drawn from a normal distribution of true
gains: the mean of the promoted ones, the share of promotions that truly lose more than half a
point, and the mean gain of all candidates, 0 for a refused one. *Told* is the mean gain that the
gate expected of what it promoted. The last population has {grown:.0f} % more training rows, which
the gate takes into account.""",
    "calibration": """\
The risk of losing more than the margin, as reports show it and parts of the rows are judged by: of
candidates that truly lose exactly the margin 20 % should seem to risk 20 % at most, and 5 % of them
5 %.""",
    "tries": """\
Attempts on the same 300 rows until one is promoted: share of series in which one is, by what every
candidate truly gains. *Always 0*: nothing is taken off for luck. *20 % / k²*: what was allowed to
risk before.""",
    "chains": """\
Twenty attempts in a row; a promoted candidate becomes the one to beat, and the count begins
again.""",
    "more": """\
Rows asked for: of those of which the rows could not tell, how many could with the rows that were
asked for added.""",
}


@dataclass(frozen=True)
class Rates:
    """Shares of candidates: `promoted`, those of which the rows could not tell (`unsure`), and
    those that the rule of before promoted."""

    promoted: float
    unsure: float
    before: float


def pairs(
    generator: np.random.Generator, rows: int, difference: float, apart: float = APART
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows a candidate and the live version have right; the candidate truly gains
    `difference`, and the two differ on about `apart` of the rows."""
    apart = max(apart, abs(difference))
    kind = generator.random(rows)
    won, lost = (apart + difference) / 2, (apart - difference) / 2
    both = kind >= apart
    right = generator.random(rows) < 0.85
    new = np.where(both, right, kind < won)
    old = np.where(both, right, (kind >= won) & (kind < won + lost))
    return new, old


def gain_of(
    new: np.ndarray, old: np.ndarray, attempts: int = 1, grown: float = 1.0
) -> tuple[float, bool]:
    """The gain that the gate expects, and whether it promotes, as `feilun.evaluation.gate` does."""
    found = paired_difference(new, old)
    before = prior(float(old.mean()), True, grown)
    gain = expected(found.value, paired_error(new, old), before, attempts)
    safe = found.high >= 0 and paired_risk(new, old, MARGIN) <= UNSURE
    return gain, gain > 0 and safe


def verdict(new: np.ndarray, old: np.ndarray, attempts: int = 1) -> str:
    """``pass``, ``unsure`` or ``refuse``."""
    if gain_of(new, old, attempts)[1]:
        return "pass"
    found = paired_difference(new, old)
    if found.low >= -MARGIN and found.high <= MARGIN:
        return "refuse"
    unsure = found.high >= 0 and paired_risk(new, old, MARGIN) <= UNSURE
    return "unsure" if unsure else "refuse"


def rates(rows: int, difference: float, trials: int, attempts: int = 1, seed: int = 0) -> Rates:
    """What becomes of `trials` candidates."""
    generator = np.random.default_rng([seed, rows, round(1e4 * (difference + 1)), attempts])
    drawn = [pairs(generator, rows, difference) for _ in range(trials)]
    said = [verdict(*one, attempts) for one in drawn]
    before = sum(paired_risk(*one, MARGIN) <= RISK / attempts**2 for one in drawn)
    return Rates(said.count("pass") / trials, said.count("unsure") / trials, before / trials)


@dataclass(frozen=True)
class Promotions:
    """Of candidates from a population: the mean `gain` of promoted ones and what was `told` of
    them, the share of them that truly `lose` more than half a point, and the mean gain `of_all`."""

    gain: float
    told: float
    lose: float
    of_all: float


def promotions(
    rows: int, mean: float, spread: float, trials: int, grown: float = 1.0, seed: int = 0
) -> tuple[Promotions, Promotions]:
    """What is promoted now, and what was before."""
    generator = np.random.default_rng([seed, rows, round(1e4 * (mean + 1)), round(1e4 * spread)])
    truth = generator.normal(mean, spread, trials).clip(-0.2, 0.2)
    told, now, before = np.zeros(trials), np.zeros(trials, bool), np.zeros(trials, bool)
    for trial, difference in enumerate(truth.tolist()):
        new, old = pairs(generator, rows, difference)
        told[trial], now[trial] = gain_of(new, old, grown=grown)
        before[trial] = paired_risk(new, old, MARGIN) <= RISK
    return (
        Promotions(
            float(truth[now].mean()), float(told[now].mean()),
            float((truth[now] < -0.005).mean()), float((truth * now).mean()),
        ),
        Promotions(
            float(truth[before].mean()), float("nan"),
            float((truth[before] < -0.005).mean()), float((truth * before).mean()),
        ),
    )  # fmt: skip


def series(
    rows: int,
    difference: float,
    attempts: int,
    trials: int,
    *,
    rule: str,
    resets: bool = False,
    seed: int = 0,
) -> tuple[float, float]:
    """Candidates tried one after the other on the same rows, all truly `difference` from the
    version live at their time. Returns the share of series in which any was promoted, and the mean
    number of promotions. Rows are easy or hard for all versions alike, as real ones are, so the
    candidates hang together. With `resets` a promoted candidate becomes the one to beat and the
    count of attempts begins again; without it the first promotion ends the series. `rule`:
    ``luck`` (the gate's), ``constant`` (the same without luck taken off), ``risk`` (before)."""
    generator = np.random.default_rng([seed, rows, attempts])
    any_passed = promotions = 0
    for _ in range(trials):
        ease = generator.beta(4.5, 0.6, rows)
        live, level, attempt, passed = generator.random(rows) < ease, 0.0, 0, 0
        for _ in range(attempts):
            attempt += 1
            shifted = np.clip(ease + level + difference, 0, 1)
            new = generator.random(rows) < shifted
            if rule == "risk":
                passes = paired_risk(new, live, MARGIN) <= RISK / attempt**2
            else:
                passes = gain_of(new, live, attempt if rule == "luck" else 1)[1]
            if passes:
                passed += 1
                if not resets:
                    break
                live, level, attempt = new, level + difference, 0
        any_passed += passed > 0
        promotions += passed
    return any_passed / trials, promotions / trials


def calibration(trials: int) -> Iterator[str]:
    """How often a candidate on the margin itself passes: it should be the limit."""
    yield "| rows | rows that differ | smoothed, 20 % | smoothed, 5 % | bootstrap, 20 % | 5 % |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
    generator = np.random.default_rng(7)
    for rows in (30, 100, 300, 1000):
        for apart in (0.05, 0.1, 0.2):
            found = []
            for _ in range(trials):
                new, old = pairs(generator, rows, -MARGIN, apart)
                won, lost = int((new & ~old).sum()), int((old & ~new).sum())
                drawn = generator.multinomial(
                    rows, [won / rows, lost / rows, 1 - (won + lost) / rows], 500
                )
                gain = (drawn[:, 0] - drawn[:, 1]) / rows
                plain = (gain < -MARGIN - 1e-12).mean() + (abs(gain + MARGIN) < 1e-12).mean() / 2
                found.append((paired_risk(new, old, MARGIN), plain))
            risk = np.array(found)
            cells = [
                f"{100 * (risk[:, which] <= limit).mean():.0f} %"
                for which in (0, 1)
                for limit in (0.2, 0.05)
            ]
            yield f"| {rows:,} | {100 * apart:.0f} % | {' | '.join(cells)} |"


def table(trials: int) -> Iterator[str]:
    """Promotions by true difference and rows."""
    heads = " | ".join(f"{rows:,} rows: now | cannot tell | before" for rows in ROWS)
    yield f"| true difference | {heads} |"
    yield "| ---: |" + " ---: |" * 3 * len(ROWS)
    for difference in DIFFERENCES:
        cells = []
        for rows in ROWS:
            found = rates(rows, difference, trials)
            cells += [found.promoted, found.unsure, found.before]
        said = " | ".join(f"{100 * cell:.0f} %" for cell in cells)
        yield f"| {100 * difference:+.1f} | {said} |"


def gains(trials: int) -> Iterator[str]:
    """What promotions gain, by population and rows."""
    yield (
        "| true gains | rows | now: gain | told | lose > .5 | of all"
        " | before: gain | lose > .5 | of all |"
    )
    yield "| --- |" + " ---: |" * 8
    cases = [(mean, spread, 1.0) for mean, spread in POPULATIONS]
    for mean, spread, grown in [*cases, (*POPULATIONS[0], GROWN)]:
        for rows in ROWS:
            now, before = promotions(rows, mean, spread, trials, grown)
            said = [
                f"{100 * now.gain:+.2f}", f"{100 * now.told:+.2f}", f"{100 * now.lose:.0f} %",
                f"{100 * now.of_all:+.2f}", f"{100 * before.gain:+.2f}",
                f"{100 * before.lose:.0f} %", f"{100 * before.of_all:+.2f}",
            ]  # fmt: skip
            name = f"{100 * mean:+.1f} ± {100 * spread:.1f}"
            name += ", more training rows" if grown > 1 else ""
            yield f"| {name} | {rows:,} | {' | '.join(said)} |"


def tries(trials: int) -> Iterator[str]:
    """What many attempts on the same rows do, by rule."""
    yield "| attempts | -1: always 0 | -1: luck | -1: 20 % / k² | 0: luck | 0: 20 % / k² |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
    for attempts in (1, 2, 5, 10, 20):
        cells = [
            series(300, difference, attempts, trials, rule=rule)[0]
            for difference, rule in (
                (-0.01, "constant"), (-0.01, "luck"), (-0.01, "risk"), (0.0, "luck"), (0.0, "risk"),
            )
        ]  # fmt: skip
        said = " | ".join(f"{100 * cell:.0f} %" for cell in cells)
        yield f"| {attempts} ({luck(attempts):.1f} errors off) | {said} |"


def chains(trials: int) -> Iterator[str]:
    """Promotions in twenty attempts in a row, the count beginning again after each."""
    yield "| each candidate truly | rows | promotions in 20 attempts | for each attempt |"
    yield "| ---: | ---: | ---: | ---: |"
    for difference in (-0.02, -MARGIN, 0.0, 0.01):
        for rows in (300, 1000):
            mean = series(rows, difference, 20, trials, rule="luck", resets=True)[1]
            yield f"| {100 * difference:+.0f} | {rows:,} | {mean:.2f} | {100 * mean / 20:.0f} % |"


def more(trials: int) -> Iterator[str]:
    """What adding the rows that were asked for gives."""
    yield "| true difference | rows at first | cannot tell | told with what was asked for |"
    yield "| ---: | ---: | ---: | ---: |"
    generator = np.random.default_rng(3)
    for difference in (-0.01, 0.0, 0.01):
        for rows in (300, 1000):
            unsure = told = 0
            for _ in range(trials):
                new, old = pairs(generator, rows, difference)
                if verdict(new, old) != "unsure":
                    continue
                found = paired_difference(new, old)
                half = (found.high - found.low) / 2
                asked = settling(found.value, half, MARGIN, rows)
                if asked is None or asked > 100_000:
                    continue
                unsure += 1
                extra = pairs(generator, asked, difference)
                both = np.concatenate([new, extra[0]]), np.concatenate([old, extra[1]])
                told += verdict(*both) != "unsure"
            share = f"{100 * told / unsure:.0f} %" if unsure else "–"
            yield f"| {100 * difference:+.0f} | {rows} | {unsure} of {trials} | {share} |"


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    print(WORDS["table"].format(trials=trials, apart=100 * APART), end="\n\n", flush=True)
    _show(table(trials))
    for name, lines in (
        ("gains", gains(4 * trials)),
        ("calibration", calibration(trials)),
        ("tries", tries(trials // 2)),
        ("chains", chains(trials // 4)),
        ("more", more(trials // 4)),
    ):
        print(WORDS[name].format(grown=100 * (GROWN - 1)), end="\n\n", flush=True)
        _show(lines)
    return 0


def _show(lines: Iterator[str]) -> None:
    for line in lines:
        print(line, flush=True)
        print(line, file=sys.stderr)
    print()


if __name__ == "__main__":
    raise SystemExit(main())
