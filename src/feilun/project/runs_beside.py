"""Runs side by side: how long each took, what it came to, and which settings made the difference.

One of them is the baseline, to which the others are compared: the one that was pinned, else the
first. Scores are those of a run's last version on the rows that it was judged on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feilun.errors import NotFound, UsageError
from feilun.messages import t
from feilun.project.scope import Scope
from feilun.store.records import ModelVersion, Run
from feilun.table import Result, Table

__all__ = ["MOST", "RunsBeside", "beside", "flat", "pin", "pinned"]

MOST = 8
"""Runs that are compared at once."""
_SCORES = 6


@dataclass(frozen=True)
class RunsBeside(Result):
    """`runs` in their order, the `baseline` (an id) first: ``run``, ``kind``, ``state``,
    ``seconds``, ``data``, ``version``, ``method``, ``judged_on`` and ``scores``: by name ``value``,
    ``low``, ``high``, and the ``difference`` to the baseline where both were judged on the same
    rows. `settings` are those that differ: name to a value for each run."""

    baseline: str
    runs: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Sequence[Any]]

    def tables(self) -> Sequence[Table]:
        head = ["", *(one["run"] for one in self.runs)]
        facts = [
            [t("runs.role"), t("runs.baseline"), *("" for _ in self.runs[1:])],
            [t("project.state"), *(t(f"console.state_{one['state']}") for one in self.runs)],
            [t("runs.took"), *(_seconds(one["seconds"]) for one in self.runs)],
            [t("runs.data"), *(one["data"] or "–" for one in self.runs)],
            [t("runs.version"), *(one["version"] or "–" for one in self.runs)],
            [t("runs.method"), *(one["method"] or "–" for one in self.runs)],
        ]
        names = list(dict.fromkeys(name for one in self.runs for name in one["scores"]))
        scores = [[name, *(_score(one["scores"].get(name)) for one in self.runs)] for name in names]
        notes = []
        if len({one["judged_on"] for one in self.runs if one["judged_on"]}) > 1:
            notes.append(t("runs.other_rows"))
        found = [Table(t("runs.beside"), head, [*facts, *scores], notes)]
        rows = [[name, *map(_value, values)] for name, values in self.settings.items()]
        nothing = () if rows else (t("runs.same_settings"),)
        found.append(Table(t("runs.settings"), head if rows else (), rows, nothing))
        return found


def pin(scope: Scope, run: str | None) -> None:
    """Makes `run` the baseline of comparisons from now on; None: no run is. Raises `NotFound`."""
    if run is not None:
        _run(scope, run)
    scope.store.catalog.set_setting(f"baseline:{scope.name}", run or "")
    scope.store.catalog.note("run.pin", scope.name, {"run": run})


def pinned(scope: Scope) -> str | None:
    """The run that was pinned."""
    return scope.store.catalog.setting(f"baseline:{scope.name}") or None


def beside(scope: Scope, runs: Sequence[str], baseline: str | None = None) -> RunsBeside:
    """Compares `runs` (ids) with `baseline` (default: the pinned one, else the first of them).
    Raises `UsageError` for none or more than `MOST`, `NotFound` for a run that is not there."""
    first = baseline or pinned(scope) or (runs[0] if runs else None)
    ids = list(dict.fromkeys([*([first] if first else []), *runs]))
    if not runs or len(ids) > MOST:
        raise UsageError("runs.how_many", given=len(ids), most=MOST)
    found = [_run(scope, one) for one in ids]
    versions = {one.run_id: one for one in scope.store.catalog.model_versions(scope.name)}
    shown = [_shown(run, versions.get(run.id)) for run in found]
    for one in shown[1:]:
        if one["judged_on"] == shown[0]["judged_on"]:
            for name, score in one["scores"].items():
                if name in shown[0]["scores"]:
                    score["difference"] = score["value"] - shown[0]["scores"][name]["value"]
    configs = [dict(flat(run.config)) for run in found]
    names = sorted({name for one in configs for name in one})
    settings = {name: [one.get(name) for one in configs] for name in names}
    return RunsBeside(
        found[0].id,
        shown,
        {name: values for name, values in settings.items() if any(v != values[0] for v in values)},
    )


def _run(scope: Scope, name: str) -> Run:
    run = scope.store.catalog.run(name)
    if run.project != scope.name:
        raise NotFound("store.no_run", id=name)
    return run


def _shown(run: Run, version: ModelVersion | None) -> dict[str, Any]:
    metrics = version.metrics if version is not None else {}
    test = metrics.get("test") or {}
    primary = metrics.get("primary")
    order = sorted(test, key=lambda name: name != primary)  # the one that decides comes first
    began = run.started or run.created
    return {
        "run": run.id,
        "kind": run.kind,
        "state": run.state,
        "seconds": (run.finished - began).total_seconds() if run.finished else None,
        "data": run.result.get("data_version") or (version.data_version if version else None),
        "version": version.id if version else None,
        "method": version.method if version else None,
        "judged_on": metrics.get("judged_on"),
        "scores": {name: dict(test[name]) for name in order[:_SCORES]},
    }


def flat(value: Any, name: str = "") -> Any:
    """Settings in tables as pairs of a dotted name and a value."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from flat(one, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _seconds(value: float | None) -> str:
    return "–" if value is None else t("console.seconds", seconds=round(value))


def _score(score: Mapping[str, Any] | None) -> str:
    if not score or score.get("value") is None:
        return "–"
    words = f"{score['value']:.3f}"
    if score.get("low") is not None:
        words += f" [{score['low']:.3f}, {score['high']:.3f}]"
    if score.get("difference") is not None:
        words += f" {score['difference']:+.3f}"
    return words


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "–" if value is None else str(value)
