"""A search beside the defaults: what feilun tune gains in so many minutes, on rows neither saw.

    python -m benchmarks.evidence.tuning [--minutes 3] [--seeds 3] [--rows 1500] [--unseen 3000]
        [--data NAME ...] [--all-methods]

Public sets: reviews in English and Chinese, three tables, entities in Chinese news. Each seed draws
a project its rows, of which it takes its own to choose and to judge by. It trains by the defaults
first, every method that its gate lets answer in turn, then searches for so long; the gate judges
the winner against what is live, as one attempt. Both are then asked rows that the project never
had. Methods that need no torch, unless ``--all-methods`` takes the others in.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.evidence._few import named

from feilun.engines.base import open_engine
from feilun.families.spans import SPANS
from feilun.metrics.comparison import judge, values
from feilun.metrics.measured import Measured
from feilun.project import Project, Workspace
from feilun.store.records import ModelVersion
from feilun.tasks import base as tasks
from feilun.training.settings import method, methods
from feilun.types import Item

SETS = ("English", "Chinese", "wa_churn", "mlc_churn", "credit_data", "entities")
HEAD = ("data", "metric", "default", "found", "trials", "before", "after", "gain", "went live")
MARGIN = 0.01


@dataclass(frozen=True)
class Rows:
    """The `items` of a task with their `targets` as its family writes them; `column` is what the
    items are called where each is one value."""

    task: str
    items: Sequence[Item]
    targets: Sequence[str]
    column: str | None

    def given(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Rows as a project takes them."""
        found = []
        for place in places:
            item = self.items[place]
            row = dict(item) if isinstance(item, Mapping) else {str(self.column): item}
            found.append({**row, "label": self.targets[place]})
        return found


@cache
def rows_of(name: str) -> Rows:
    """One of `SETS`."""
    if name == "entities":
        from benchmarks.tasks.entities import load as entities

        found = entities()
        targets = [SPANS.target([list(one) for one in spans]) for _, spans in found]
        return Rows("token-classification", [text for text, _ in found], targets, "text")
    if name in ("English", "Chinese"):
        few = named(name)
        first = {text: place for place, text in reversed(list(enumerate(few.items)))}
        places = sorted(first.values())
        texts = [few.items[place] for place in places]
        return Rows(few.task, texts, [few.labels[place] for place in places], "text")
    from benchmarks.tasks.tabular import TASK, load

    table = load(name)
    return Rows(TASK, table.items, [table.labels[one] for one in table.truth.tolist()], None)


@dataclass(frozen=True)
class Searched:
    """One seed: the methods that answered before and that the search `found`, how many `trials` it
    made, both on the unseen rows, the gain, and whether it went live."""

    default: str
    found: str
    trials: int
    before: float
    after: float
    gain: float
    live: bool


def searched(name: str, seed: int, asked: argparse.Namespace) -> Searched:
    """Trains by the defaults, searches, and asks both what neither saw."""
    rows = rows_of(name)
    order = np.random.default_rng(seed).permutation(len(rows.items)).tolist()
    own, unseen = order[: asked.rows], order[asked.rows : asked.rows + asked.unseen]
    without = [one for one in methods() if method(one).needs_torch and not asked.all_methods]
    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace(Path(folder)) as workspace,
    ):
        project = workspace.init("tuned", task=rows.task)
        project.add(rows.given(own))
        able = [one for one in methods() if one not in without]
        able = [one for one in able if not getattr(method(one), "on_request", False)]
        task = project.task
        able = [one for one in able if method(one).supports(task, None) is None]
        quick = {"training.seed": seed, "evaluation.robustness": False}
        project.run(overrides=quick | {"training.exclude": without})
        before = _live(project)
        turned = project.tune(minutes=asked.minutes, overrides=quick | {"tune.methods": able})
        assert turned.search is not None
        after = workspace.store.catalog.model_versions(project.name)[-1]
        measured = [_asked(project, one, rows, unseen) for one in (before, after)]
        found = judge(measured[1], measured[0], task.primary, margin=MARGIN)
        scores = [values(one)[task.primary] or 0.0 for one in measured]
        trials = len(turned.search.found["trials"])
        live = turned.promoted
        return Searched(before.method, after.method, trials, *scores, found.gain.value, live)


def _live(project: Project) -> ModelVersion:
    live = project.live
    assert live is not None
    return project.workspace.store.catalog.model_version(live.id)


def _asked(project: Project, version: ModelVersion, rows: Rows, places: Sequence[int]) -> Measured:
    """What a version says to rows that the project never had."""
    family = tasks.get(rows.task).family
    with closing(open_engine(project.scope.context().folder(version))) as engine:
        raw, card = engine.raw([rows.items[place] for place in places]), engine.card
    truth = family.truth([rows.targets[place] for place in places], card.schema.labels)
    return family.measured(truth, raw, card.schema.labels, card.point)


def _line(name: str, asked: argparse.Namespace) -> str:
    found = [searched(name, seed, asked) for seed in range(asked.seeds)]
    gains = [100 * one.gain for one in found]
    cells = [
        name,
        tasks.get(rows_of(name).task).primary,
        _counted([one.default for one in found]),
        _counted([one.found for one in found]),
        f"{np.mean([one.trials for one in found]):.0f}",
        f"{100 * np.mean([one.before for one in found]):.1f}",
        f"{100 * np.mean([one.after for one in found]):.1f}",
        f"{np.mean(gains):+.1f} ({min(gains):+.1f} to {max(gains):+.1f})",
        f"{sum(one.live for one in found)} of {asked.seeds}",
    ]
    return f"| {' | '.join(cells)} |"


def _counted(names: Sequence[str]) -> str:
    counts = {one: names.count(one) for one in dict.fromkeys(names)}
    return ", ".join(f"{one} {count}" if len(counts) > 1 else one for one, count in counts.items())


def main() -> None:
    """Prints the table with its words."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=3.0)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--rows", type=int, default=1500)
    options.add_argument("--unseen", type=int, default=3000)
    options.add_argument("--data", nargs="*", choices=SETS, default=SETS)
    options.add_argument("--all-methods", action="store_true")
    asked = options.parse_args()
    kinds = "all methods" if asked.all_methods else "methods without torch"
    print(
        f"{asked.rows:,} rows a project, which it divides itself; {asked.minutes:g} minutes of "
        f"search over {kinds}; in %, on at most {asked.unseen:,} rows that the project never had, "
        f"seeds 0 to {asked.seeds - 1}. *Default*: what answered after a run without a setting. "
        "*Found*: the method of the search's winner. The gain is the mean over the seeds, with the "
        "least and the largest.\n"
    )
    print(f"| {' | '.join(HEAD)} |")
    print("| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name in asked.data:
        line = _line(name, asked)
        print(line, flush=True)
        print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
