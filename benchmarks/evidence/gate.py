"""The gate on versions whose true difference is known: how often it errs.

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

from feilun.evaluation.consultations import RISK, risk_limit
from feilun.evaluation.gate import UNSURE
from feilun.metrics.intervals import paired_difference, paired_risk, rows_to_tell

MARGIN = 0.01
DIFFERENCES = (-0.05, -0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.05)
ROWS = (100, 300, 1000, 3000)
APART = 0.1
"""Share of the rows that two equal versions answer differently: as on the reviews."""


WORDS = {
    "table": """\
Share of candidates promoted, {trials:,} drawn for each cell; margin 1 point, {apart:.0f} % of the
rows answered differently, first attempt. Above -1 a refusal is false, at -1 and below a
promotion.""",
    "calibration": """\
Which figure for the risk: a candidate that truly loses exactly the margin should pass a limit of
20 % in 20 % of samples, one of 5 % in 5 %.""",
    "tries": """\
Attempts on the same 300 rows until one is promoted: share of series in which one is, though every
candidate truly loses the margin; in the last column all are equal to the live version.""",
    "chains": """\
Twenty attempts in a row; a promoted candidate becomes the one to beat, and the count begins
again.""",
    "more": """\
Rows asked for: of those of which the rows could not tell, how many could with twice the rows that
were asked for.""",
}


@dataclass(frozen=True)
class Rates:
    """Shares of candidates: promoted when the unsure are held, promoted when they are not, and
    those of which the rows could not tell."""

    hold: float
    promote: float
    unsure: float


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


def verdict(new: np.ndarray, old: np.ndarray, attempts: int = 1) -> str:
    """``pass``, ``unsure`` or ``refuse``, as `feilun.evaluation.gate` weighs the live version."""
    risk = paired_risk(new, old, MARGIN)
    if risk <= risk_limit(attempts):
        return "pass"
    high = paired_difference(new, old).high
    return "unsure" if risk <= UNSURE and high >= 0 else "refuse"


def rates(rows: int, difference: float, trials: int, attempts: int = 1, seed: int = 0) -> Rates:
    """What becomes of `trials` candidates."""
    generator = np.random.default_rng([seed, rows, round(1e4 * (difference + 1)), attempts])
    said = [verdict(*pairs(generator, rows, difference), attempts) for _ in range(trials)]
    passed, unsure = said.count("pass") / trials, said.count("unsure") / trials
    return Rates(passed, passed + unsure, unsure)


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
    count of attempts begins again; without it the first promotion ends the series."""
    generator = np.random.default_rng([seed, rows, attempts])
    any_passed = promotions = 0
    for _ in range(trials):
        ease = generator.beta(4.5, 0.6, rows)
        live, level, attempt, passed = generator.random(rows) < ease, 0.0, 0, 0
        for _ in range(attempts):
            attempt += 1
            shifted = np.clip(ease + level + difference, 0, 1)
            new = generator.random(rows) < shifted
            limit = {"constant": RISK, "k": RISK / attempt, "k2": risk_limit(attempt)}[rule]
            if paired_risk(new, live, MARGIN) <= limit:
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
    heads = " | ".join(f"{rows:,} rows: hold | promote | cannot tell" for rows in ROWS)
    yield f"| true difference | {heads} |"
    yield "| ---: |" + " ---: |" * 3 * len(ROWS)
    for difference in DIFFERENCES:
        cells = []
        for rows in ROWS:
            found = rates(rows, difference, trials)
            cells += [found.hold, found.promote, found.unsure]
        said = " | ".join(f"{100 * cell:.0f} %" for cell in cells)
        yield f"| {100 * difference:+.0f} | {said} |"


def tries(trials: int) -> Iterator[str]:
    """What many attempts on the same rows do, by rule."""
    yield "| attempts | limit always 20 % | 20 % / k | 20 % / k² (kept) | k², equal candidates |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for attempts in (1, 2, 5, 10, 20):
        cells = [
            series(300, -MARGIN, attempts, trials, rule=rule)[0] for rule in ("constant", "k", "k2")
        ]
        cells.append(series(300, 0.0, attempts, trials, rule="k2")[0])
        yield f"| {attempts} | {' | '.join(f'{100 * cell:.0f} %' for cell in cells)} |"


def chains(trials: int) -> Iterator[str]:
    """Promotions in twenty attempts in a row, the count beginning again after each."""
    yield "| each candidate truly | rows | promotions in 20 attempts | for each attempt |"
    yield "| ---: | ---: | ---: | ---: |"
    for difference in (-0.02, -MARGIN, 0.0, 0.01):
        for rows in (300, 1000):
            mean = series(rows, difference, 20, trials, rule="k2", resets=True)[1]
            yield f"| {100 * difference:+.0f} | {rows:,} | {mean:.2f} | {100 * mean / 20:.0f} % |"


def more(trials: int) -> Iterator[str]:
    """What adding the rows that were asked for gives."""
    yield "| true difference | rows at first | cannot tell | told with what was asked for (x2) |"
    yield "| ---: | ---: | ---: | ---: |"
    generator = np.random.default_rng(3)
    for difference in (0.0, 0.01, 0.02):
        for rows in (100, 300):
            unsure = told = 0
            for _ in range(trials):
                new, old = pairs(generator, rows, difference)
                if verdict(new, old) != "unsure":
                    continue
                asked = rows_to_tell(new, old, MARGIN, 1 - 2 * RISK)
                if asked is None or asked > 100_000:
                    continue
                unsure += 1
                extra = pairs(generator, 2 * asked, difference)
                both = np.concatenate([new, extra[0]]), np.concatenate([old, extra[1]])
                told += verdict(*both) != "unsure"
            share = 100 * told / max(unsure, 1)
            yield f"| {100 * difference:+.0f} | {rows} | {unsure} of {trials} | {share:.0f} % |"


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    print(WORDS["table"].format(trials=trials, apart=100 * APART), end="\n\n", flush=True)
    _show(table(trials))
    for name, lines in (
        ("calibration", calibration(trials)),
        ("tries", tries(trials // 2)),
        ("chains", chains(trials // 4)),
        ("more", more(trials // 4)),
    ):
        print(WORDS[name], end="\n\n", flush=True)
        _show(lines)
    return 0


def _show(lines: Iterator[str]) -> None:
    for line in lines:
        print(line, flush=True)
        print(line, file=sys.stderr)
    print()


if __name__ == "__main__":
    raise SystemExit(main())
