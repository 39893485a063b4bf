"""Rows without a label: what a method gains by its own sure answers to them, and what goes live.

    python -m benchmarks.evidence.self_training [--draws 5] [--labelled 100,400] [--rows 2000]
        [--judged 1000] [--methods linear,stack] [--lang en] [--base FOLDER]

English and Chinese reviews. Each draw gives a project so many labelled rows by lot, of which it
takes its own to choose and to judge by, and a corpus of others without their labels. Its version
and the one that the version taught are asked the same rows, which neither has seen. Chinese
encoders need a base that reads it, ``--base``.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from benchmarks.evidence.review import read

from feilun.demo.tasks import text_classification as reviews
from feilun.engines.base import open_engine
from feilun.project import Workspace

HEAD = ("data", "method", "labelled", "taught", "before", "after", "gain", "went live")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=5)
    options.add_argument("--labelled", default="100,400")
    options.add_argument("--rows", type=int, default=2000)
    options.add_argument("--judged", type=int, default=1000)
    options.add_argument("--methods", default="linear,stack")
    options.add_argument("--lang", choices=("en", "zh"))
    options.add_argument("--base")
    asked = options.parse_args()
    print(
        f"{asked.rows:,} rows without a label, {asked.draws} draws, judged on {asked.judged:,}.\n"
    )
    print("| " + " | ".join(HEAD) + " |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for lang in (asked.lang,) if asked.lang else ("en", "zh"):
        for method in asked.methods.split(","):
            for count in map(int, asked.labelled.split(",")):
                _line(lang, method, count, asked)


def _line(lang: str, method: str, count: int, asked: argparse.Namespace) -> None:
    taught, right, live = [], [], 0
    for draw in range(asked.draws):
        with tempfile.TemporaryDirectory() as name:
            rows, shares, state = _drawn(Path(name), lang, method, count, draw, asked)
        taught.append(rows)
        right.append([100 * share for share in shares])
        live += state == "live"
    before, after = np.array(right).T
    gain = after - before
    print(
        f"| {lang} | {method} | {count} | {np.mean(taught):.0f} | {before.mean():.1f} | "
        f"{after.mean():.1f} | {gain.mean():+.1f} ({gain.min():+.1f} to {gain.max():+.1f}) | "
        f"{live} of {asked.draws} |",
        flush=True,
    )


def _drawn(
    folder: Path, lang: str, method: str, count: int, seed: int, asked: argparse.Namespace
) -> tuple[int, list[float], str]:
    """How many rows taught, the shares of unseen rows that the version and the one that it taught
    have right, and what the gate made of the second."""
    files = reviews.files(folder, lang)
    texts, labels = read(files.training, files.text, files.label)
    test, truth = (one[: asked.judged] for one in read(files.testing, files.text, files.label))
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    few, rest = order[:count], order[count : count + asked.rows]
    known = _table(folder / "known.csv", [(texts[n], labels[n]) for n in few])
    more = _table(folder / "more.csv", [(texts[n], "") for n in rest])
    with Workspace(folder / "workspace") as workspace:
        project = workspace.init("reviews", base=asked.base)
        project.add(known)
        project.add_corpus(more)
        own = {"training.self-training.of": [method], "training.seed": seed}
        project.run(method="self-training", overrides=own)
        found = workspace.store.catalog.model_versions(project.name)
        versions = [next(one for one in found if one.method == method), found[-1]]
        context, right = project.scope.context(), []
        for version in versions:
            with closing(open_engine(context.folder(version))) as engine:
                said = [one["label"] for one in engine.predict(test)]
            right.append(float(np.mean(np.array(said) == np.array(truth))))
        return int(found[-1].metrics["training"]["self_taught"]), right, found[-1].state


def _table(file: Path, rows: Sequence[tuple[str, str]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    return file


if __name__ == "__main__":
    main()
