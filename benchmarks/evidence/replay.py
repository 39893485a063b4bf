"""Forgetting: how many old rows to train beside the new ones when an update brings a new label.

    python -m benchmarks.evidence.replay [--seeds N]

A fine-tuned model that knows two labels of English reviews is continued on reviews of coffee and
tea that it never saw, under a third label. Old test rows show what it forgets, fresh ones what it
learns. The old rows of an update are drawn by the seed.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun.config import load_settings
from feilun.demo.tasks import text_classification as reviews
from feilun.engines.base import open_engine
from feilun.metrics.intervals import wilson
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.bases import resolve
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import Example, Schema, Split

TASK = "text-classification"
NEW = "drinks"
SHARES = (0.0, 1.0, 2.0, 6.0)
BEFORE = "before the update"
AGAIN = "from the base, on all rows"
OLD, HELD, TEST, FRESH, FRESH_TEST = 1200, 100, 400, 120, 150
SETTINGS = {"max_length": 64, "feature_bits": 16}
_DRINKS = re.compile(r"\b(coffee|tea|espresso|k-cups?)\b", re.IGNORECASE)

Rows = Sequence[tuple[str, str]]


def load(folder: Path) -> tuple[Rows, Rows]:
    """Reviews of other things with their labels, and those of drinks under the new one."""
    written = reviews.files(folder, "en")
    plain, drinks = [], []
    for file in (written.training, written.testing):
        with file.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                text = row[written.text]
                if _DRINKS.search(text):
                    drinks.append((text, NEW))
                else:
                    plain.append((text, row[written.label]))
    return plain, drinks


def write(
    folder: Path,
    labels: Sequence[str],
    parts: dict[Split, Rows],
    fresh: Rows = (),
    settings: Mapping[str, Any] = SETTINGS,
) -> Path:
    """A data version; the rows of `fresh` train, under ids of their own."""
    with DatasetWriter(folder, {"text": "text"}) as writer:
        for split, rows in parts.items():
            for number, (text, label) in enumerate(rows):
                writer.add(Example(f"{split}-{number}", text, label, split))
        for number, (text, label) in enumerate(fresh):
            writer.add(Example(f"fresh-{number}", text, label, "train"))
        writer.close(Schema(TASK, tuple(labels), dict(settings)))
    return folder


def train(
    folder: Path,
    data: Path,
    seed: int,
    previous: Path | None,
    replay: float,
    threads: int | None = 1,
    **chosen: Any,
) -> Path:
    """Fine-tunes the starter, or goes on from `previous` with `replay` old rows for each new;
    `chosen` are settings of `full`. The task's settings are those of the data."""
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    ids = [row for row in Dataset(data).row_ids("train") if row.startswith("fresh-")]
    job = TrainJob(
        "full",
        TASK,
        data,
        resolve(None, tasks.get(TASK), load_settings()),
        out,
        scratch,
        previous=previous,
        new_rows=tuple(ids) if previous else (),
        replay=replay,
        task_settings=Dataset(data).schema.settings,
        seed=seed,
        threads=threads,
    )
    full = method("full")
    full.train(job, full.Settings(**{"epochs": 2, **chosen}), lambda progress: None)
    return out


def right(version: Path, rows: Rows) -> np.ndarray:
    """Which rows the version has right."""
    engine = open_engine(version)
    labels = engine.card.schema.labels
    given = engine.raw([text for text, _ in rows]).argmax(axis=1)
    engine.close()
    return np.array([labels[one] == label for one, (_, label) in zip(given, rows, strict=True)])


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    seeds = parser.parse_args().seeds
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, drinks = load(folder)
        labels = sorted({label for _, label in plain})
        for seed in range(seeds):
            draw = np.random.default_rng(seed)
            old = [plain[int(row)] for row in draw.permutation(len(plain))]
            new = [drinks[int(row)] for row in draw.permutation(len(drinks))]
            test, held, known = old[:TEST], old[TEST : TEST + HELD], old[TEST + HELD :][:OLD]
            fresh, fresh_test = new[:FRESH], new[FRESH : FRESH + FRESH_TEST]
            parts: dict[Split, Rows] = {"train": known, "validation": held}
            place = folder / str(seed)
            first = train(place / "base", write(place / "a", labels, parts), seed, None, 0.0)
            data = write(place / "b", [*labels, NEW], parts, fresh)
            found.setdefault(BEFORE, []).append((right(first, test), right(first, fresh_test)))
            for share in (*SHARES, None):
                going_on = first if share is not None else None
                after = train(place / f"replay-{share}", data, seed, going_on, share or 0.0)
                answers = right(after, test), right(after, fresh_test)
                name = AGAIN if share is None else f"{share:g}"
                found.setdefault(name, []).append(answers)
                print(seed, name, *(f"{one.mean():.3f}" for one in answers), file=sys.stderr)
    print(
        f"{OLD:,} old rows, {FRESH} new ones of a label that was not known; seeds: {seeds}, each "
        f"with {TEST} old and {FRESH_TEST} fresh test rows. `turned wrong`: old test rows that "
        "were right before the update.\n"
    )
    print("| old rows for each new | right on old rows | turned wrong | right on fresh rows |")
    print("| --- | ---: | ---: | ---: |")
    before = np.concatenate([one[0] for one in found[BEFORE]])
    for said, answers in found.items():
        kept = np.concatenate([one[0] for one in answers])
        learnt = np.concatenate([one[1] for one in answers])
        lost = "" if said == BEFORE else f"{100 * (before & ~kept).mean():.1f} %"
        print(f"| {said} | {_share(kept)} | {lost} | {_share(learnt)} |")
    return 0


def _share(hits: np.ndarray) -> str:
    score = wilson(int(hits.sum()), len(hits))
    return f"{100 * score.value:.1f} % ({100 * score.low:.1f}–{100 * score.high:.1f})"


if __name__ == "__main__":
    raise SystemExit(main())
