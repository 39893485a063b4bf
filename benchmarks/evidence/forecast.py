"""How many more labels: rows are hidden, the gain they bring is asked for, and rows are added.

    python -m benchmarks.evidence.forecast [--rows N]

From N visible rows it is forecast how many more bring a gain; then N, and twice as many, hidden
rows are added, and rows that neither sees tell what they brought. What one draw of rows brings is
mostly luck (its own error is a point or so), so the gain that is asked for is the mean over the
seeds; how the forecast fares for each draw's own gain stands beside it. The seeds are not those by
which the bounds of the curves were chosen.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from feilun.demo.tasks import text_classification as reviews
from feilun.engines.linear import pick, weigh
from feilun.evaluation.forecast import Forecast, Point, forecast
from feilun.modalities.text.ngrams import NGrams
from feilun.training import folds, logistic
from feilun.training.curve import curve

SEEDS = (20, 21, 22, 23, 24)
STRENGTH = 10.0
TWICE = 2.0


class Pool:
    """All reviews of one language and their features."""

    def __init__(self, lang: str, folder: Path) -> None:
        reviews._CHINESE_TEST = 6000  # of the 10,000 and more that there are
        written = reviews.files(folder, lang)
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


def trial(pool: Pool, visible: int, seed: int) -> tuple[list[Point], dict[int, float]]:
    """The points of the visible rows' curve, and the gain of each number of rows added."""
    order = np.random.default_rng(seed).permutation(len(pool.labels))
    seen, hidden, judge = np.split(order, [visible, 3 * visible])
    matrix = folds.matrix_of(NGrams(18), [pool.texts[row] for row in seen.tolist()])
    grown = curve(matrix, pool.labels[seen], len(pool.names), STRENGTH, seed=seed)
    points = [Point(rows, right) for rows, right in grown]
    before = pool.accuracy(seen, judge)
    gains = {
        added: pool.accuracy(np.concatenate([seen, hidden[:added]]), judge) - before
        for added in (visible, 2 * visible)
    }
    return points, gains


def lines(pool: Pool, name: str, visible: int) -> Iterator[str]:
    """The table's lines of one data set."""
    trials = [trial(pool, visible, seed) for seed in SEEDS]
    for added in trials[0][1]:
        mean = sum(gains[added] for _, gains in trials) / len(trials)
        near = own = 0
        for seed, (points, gains) in zip(SEEDS, trials, strict=True):
            found = forecast(points, visible, gain=mean)
            for_own = forecast(points, visible, gain=max(gains[added], 0.0))
            near += _near(found, added)
            own += _near(for_own, added)
            yield (
                f"| {name} | {added:,} | {100 * mean:.1f} | {seed} | {_said(found.more)} | "
                f"{_said(found.low)} to {_said(found.high)} | "
                f"{'yes' if _near(found, added) else 'no'} | {100 * gains[added]:.1f} | "
                f"{_said(for_own.more)} |"
            )
        yield (
            f"| {name} | {added:,} | {100 * mean:.1f} | all | | | {near} of {len(SEEDS)} | | "
            f"{own} of {len(SEEDS)} within 2x |"
        )


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--data", choices=("en", "zh"), nargs="*", default=("en", "zh"))
    given = parser.parse_args()
    print(f"{given.rows:,} rows visible, twice as many hidden; the linear baseline.", end=" ")
    print("`within 2x`: between half and twice the rows that brought the gain.\n")
    print("| data | added | mean gain | seed | forecast | 8 of 10 cases | within 2x", end=" | ")
    print("own gain | forecast for it |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: |")
    names = {"en": "English reviews", "zh": "Chinese reviews"}
    with tempfile.TemporaryDirectory() as folder:
        for lang in given.data:
            for line in lines(Pool(lang, Path(folder) / lang), names[lang], given.rows):
                print(line, flush=True)
                print(line, file=sys.stderr)
    return 0


def _near(found: Forecast, added: int) -> bool:
    return found.more is not None and 1 / TWICE <= found.more / added <= TWICE


def _said(rows: int | None) -> str:
    return "over tenfold" if rows is None else f"{rows:,}"


if __name__ == "__main__":
    raise SystemExit(main())
