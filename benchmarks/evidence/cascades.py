"""Cascades: the share of calls that never reach the encoder, at equal accuracy.

    python -m benchmarks.evidence.cascades [--method full] [--rows N] [--max-length N]
                                           [--set NAME=VALUE ...] [--seeds N] [--kept FOLDER]

The flagship's reviews: a version learns from the demonstration's training file (4,000 reviews, of
which a tenth each are kept to choose and to judge by), `feilun compress` sets the threshold on its
validation rows, and 1,000 reviews that nothing has seen judge. Speed is that of whole lists on this
machine, both engines in turns. `FOLDER` keeps the workspaces and what was measured: an interrupted
measurement goes on from there, a training from its last checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feilun import Workspace
from feilun.compression import measure
from feilun.demo.tasks import text_classification as reviews
from feilun.engines.base import open_engine
from feilun.engines.cascade import CascadeEngine
from feilun.metrics.intervals import paired_difference, wilson
from feilun.metrics.scores import Score

HEAD = "[compression]"
LOSSES = (0.0, 0.005, 0.01)
"""Allowed losses that a threshold is set for."""


@dataclass(frozen=True)
class Measured:
    """On the unseen rows: accuracy of the first stage, of the last one and of the cascade, what the
    cascade gains over the last one, the share of rows that the first stage answers, and how many
    times as many answers a second the cascade gives."""

    allowed: float
    first: Score
    last: Score
    cascade: Score
    gain: Score
    kept: Score
    faster: float


def measured(
    method: str,
    rows: int | None,
    settings: dict[str, Any],
    seed: int,
    variants: Sequence[str],
    kept: Path | None = None,
) -> list[Measured | str]:
    """A line for each allowed loss; in words where no cascade saved enough."""
    done = kept / f"{method}-{rows}-{seed}.json" if kept else None
    if done is not None and done.is_file():
        lines = json.loads(done.read_text("utf-8"))
        return [one if isinstance(one, str) else _again(one) for one in lines]
    with ExitStack() as opened:
        folder = kept / f"{method}-{rows}-{seed}" if kept else None
        if folder is None:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        files = reviews.files(folder, "en")
        training = _cut(files.training, rows, folder / "rows.csv")
        texts, labels = _read(files.testing, files.text, files.label)
        with Workspace(folder / "workspace") as workspace:
            if not (folder / "workspace" / "reviews").is_dir():
                workspace.init("reviews")
            project = workspace.project("reviews")
            if not project.workspace.store.catalog.latest_data(project.name):
                project.add(training)
            _allow(project.file, LOSSES[0], variants)
            overrides = {"training.seed": seed, "evaluation.robustness": False, **settings}
            project.run(method=method, overrides=overrides)
            (version,) = [one for one in project.models() if one.record.method == method]
            found: list[Measured | str] = []
            for allowed in LOSSES:
                _allow(project.file, allowed, variants)
                packed = project.compress(version.id)
                if packed.chosen != "cascade":
                    found.append(packed.reasons[-1])
                    continue
                record = project.model(version.id).record
                answers = workspace.store.artifacts.path(str(record.artifact()))
                with closing(open_engine(answers)) as engine:
                    assert isinstance(engine, CascadeEngine)
                    found.append(_judged(engine, texts, labels, allowed))
        if done is not None:
            lines = [one if isinstance(one, str) else asdict(one) for one in found]
            done.write_text(json.dumps(lines) + "\n", "utf-8")
        return found


def _again(raw: dict[str, Any]) -> Measured:
    """What was written as JSON."""
    return Measured(
        **{name: Score(**one) if isinstance(one, dict) else one for name, one in raw.items()}
    )


def _judged(engine: CascadeEngine, texts: list[str], labels: list[str], allowed: float) -> Measured:
    names = engine.card.schema.labels
    truth = np.array([names.index(label) for label in labels])
    raw, given = engine.levelled(texts)
    first, last = (
        stage.raw(texts).argmax(axis=1) == truth for stage in (engine.stages[0], engine.stages[-1])
    )
    right, kept = raw.argmax(axis=1) == truth, given < len(engine.stages) - 1
    sample = measure.Sample([str(n) for n in range(len(texts))], texts, truth)
    engines = {"last": engine.stages[-1], "cascade": engine}
    speeds = measure.speeds(engines, sample, "last", dict.fromkeys(engines, 0.0))
    count = len(texts)
    return Measured(
        allowed,
        wilson(first.sum(), count),
        wilson(last.sum(), count),
        wilson(right.sum(), count),
        paired_difference(right, last),
        wilson(kept.sum(), count),
        speeds["cascade"].throughput / speeds["last"].throughput,
    )


def _read(file: Path, text: str, label: str) -> tuple[list[str], list[str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [row[text] for row in rows], [row[label] for row in rows]


def _cut(file: Path, rows: int | None, out: Path) -> Path:
    """The first so many rows of a file."""
    if rows is None:
        return file
    with (
        file.open(encoding="utf-8", newline="") as stream,
        out.open("w", encoding="utf-8", newline="") as written,
    ):
        csv.writer(written).writerows(itertools.islice(csv.reader(stream), rows + 1))
    return out


def _allow(file: Path, loss: float, variants: Sequence[str]) -> None:
    """Sets ``compression.max_loss`` and the variants in the project file."""
    told = [line for line in file.read_text("utf-8").splitlines() if line not in ("", HEAD)]
    lines = [line for line in told if not line.startswith(("max_loss", "variants"))]
    lines += [HEAD, f"max_loss = {loss}", f"variants = {json.dumps(list(variants))}"]
    file.write_text("\n".join(lines) + "\n", "utf-8")


def _interval(score: Score, signed: bool = False) -> str:
    sign = "+" if signed else ""
    value, low, high = (100 * one for one in (score.value, score.low, score.high))
    return f"{value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--method", default="full")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--max-length", type=int)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--variants", default="int8", help="of which the last stage is chosen")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--kept", type=Path, help="folder to go on from")
    asked = parser.parse_args()
    settings: dict[str, Any] = dict(one.split("=", 1) for one in asked.settings)
    if asked.max_length:
        settings["task.max_length"] = asked.max_length
    print(
        "| allowed loss, points | linear, % | last stage, % | cascade, % | gain | "
        "never reach the last stage, % | answers a second |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    for seed in range(asked.seeds):
        variants = asked.variants.split(",")
        for one in measured(asked.method, asked.rows, settings, seed, variants, asked.kept):
            if isinstance(one, str):
                print(f"| {one} |")
                continue
            cells = [_interval(one.first), _interval(one.last), _interval(one.cascade)]
            cells += [_interval(one.gain, signed=True), _interval(one.kept)]
            print(f"| {100 * one.allowed:.1f} | {' | '.join(cells)} | {one.faster:.1f} × |")


if __name__ == "__main__":
    main()
