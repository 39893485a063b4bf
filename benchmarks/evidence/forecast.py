"""How many more labels: rows are hidden, the gain they bring is asked for, and rows are added.

    python -m benchmarks.evidence.forecast [--rows N]

From N visible rows it is forecast how many more bring the gain that N (or twice as many) hidden
rows do bring, measured on thousands of rows that neither sees. The seeds are not those by which
the bounds of the curves were chosen.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path

import numpy as np

from feilun.demo import reviews
from feilun.engines.linear import pick, weigh
from feilun.evaluation.forecast import Forecast, Point, forecast
from feilun.tasks._ngrams import NGrams
from feilun.training import folds, logistic
from feilun.training.curve import curve

SEEDS = (20, 21, 22, 23, 24)
STRENGTH = 10.0
TWICE = 2.0


class Pool:
    """All reviews of one language and their features."""

    def __init__(self, lang: str, folder: Path) -> None:
        reviews._CHINESE_TEST = 6000  # of the 10,000 and more that there are
        written = reviews.write(folder, lang)
        texts, words = [], []
        for file in (written.training, written.testing):
            with file.open(encoding="utf-8", newline="") as stream:
                for row in csv.DictReader(stream):
                    texts.append(row[written.text])
                    words.append(row[written.label])
        self.names = sorted(set(words))
        self.labels = np.array([self.names.index(word) for word in words])
        self.texts = texts
        self.counted = NGrams(18).transform(texts)

    def accuracy(self, train: np.ndarray, judge: np.ndarray) -> float:
        """On `judge` after learning `train`: what is known of n-grams comes from `train` alone, as
        in a project, where further rows bring further words."""
        occurs = np.bincount(self.counted[train].indices, minlength=self.counted.shape[1])
        columns = np.flatnonzero(occurs >= 2).astype(np.int32)
        idf = (np.log((1 + len(train)) / (1 + occurs[columns])) + 1).astype(np.float32)
        learnt, asked = (weigh(pick(self.counted[rows], columns), idf) for rows in (train, judge))
        nobody = (learnt[:0], self.labels[:0])
        model = logistic.fit(
            learnt, self.labels[train], len(self.names), nobody, strengths=(STRENGTH,)
        )
        given = (asked @ model.coef.T + model.intercept).argmax(axis=1)
        return float((given == self.labels[judge]).mean())


def trial(pool: Pool, visible: int, seed: int) -> list[tuple[int, float, Forecast]]:
    """Rows added, what they gained, and what had been forecast for that gain."""
    order = np.random.default_rng(seed).permutation(len(pool.labels))
    seen, hidden, judge = np.split(order, [visible, 3 * visible])
    matrix = folds.matrix_of(NGrams(18), [pool.texts[row] for row in seen.tolist()])
    grown = curve(matrix, pool.labels[seen], len(pool.names), STRENGTH, seed=seed)
    matrix = folds.matrix_of(NGrams(18), [pool.texts[row] for row in seen.tolist()])
    grown = curve(matrix, pool.labels[seen], len(pool.names), STRENGTH, seed=seed)
    points = [Point(rows, right) for rows, right in grown]
    before = pool.accuracy(seen, judge)
    found = []
    for added in (visible, 2 * visible):
        gain = pool.accuracy(np.concatenate([seen, hidden[:added]]), judge) - before
        found.append((added, gain, forecast(points, visible, gain=max(gain, 0.0))))
    return found


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    visible = parser.parse_args().rows
    print(
        f"{visible:,} rows visible, twice as many hidden; rung zero. `within 2x`: the forecast "
        "lies between half and twice the rows that brought the gain.\n"
    )
    print("| data | seed | rows added | points gained | forecast | 8 of 10 cases | within 2x |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for lang, name in (("en", "English reviews"), ("zh", "Chinese reviews")):
            pool = Pool(lang, Path(folder) / lang)
            hits = dict.fromkeys((visible, 2 * visible), 0)
            for seed in SEEDS:
                for added, gain, found in trial(pool, visible, seed):
                    near = found.more is not None and 1 / TWICE <= found.more / added <= TWICE
                    hits[added] += near
                    span = f"{_said(found.low)} to {_said(found.high)}"
                    line = (
                        f"| {name} | {seed} | {added:,} | {100 * gain:.1f} | {_said(found.more)} | "
                        f"{span} | {'yes' if near else 'no'} |"
                    )
                    print(line, flush=True)
                    print(line, file=sys.stderr)
            said = "; ".join(f"{n} of {len(SEEDS)} for {added:,}" for added, n in hits.items())
            print(f"| {name} | all | | | | | {said} |", flush=True)
            print(name, said, file=sys.stderr)
    return 0


def _said(rows: int | None) -> str:
    return "over tenfold" if rows is None else f"{rows:,}"


if __name__ == "__main__":
    raise SystemExit(main())
