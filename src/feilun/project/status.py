"""What is live, what is running and how far it is: read from the catalog, changing nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feilun.messages import speaking_of, t
from feilun.messages.words import step_words, unit_words
from feilun.metrics.intervals import wilson
from feilun.pipeline.lineage import kept_corrections
from feilun.project.advice import to_name
from feilun.project.beside import beside
from feilun.project.beside import sentence as sentence_beside
from feilun.project.drift import noted, sentence
from feilun.project.results import percent, tested
from feilun.store import Store
from feilun.store.records import ModelVersion, Run
from feilun.table import Result, Table

__all__ = ["Status", "gather", "run_state"]


@dataclass(frozen=True)
class Status(Result):
    """The state of a workspace: one entry a project, a run that goes on, and a server. `_several`
    projects: commands that are advised have to name theirs."""

    folder: Path
    projects: Sequence[Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]]
    servers: Sequence[Mapping[str, Any]]
    _several: bool = False

    def tables(self) -> Sequence[Table]:
        head = ["project", "task", "data_version", "live", "score", "waiting"]
        projects = [
            [
                p["project"],
                p["task"],
                p["data"] or "–",
                f"{p['live']} ({p['method']})" if p["live"] else "–",
                tested(p["metric"], p["score"]),
                str(p["corrections"]),
            ]
            for p in self.projects
        ]
        tables = [Table(str(self.folder), [t(f"project.{h}") for h in head], projects)]
        if self.runs:
            columns = [t(f"project.{h}") for h in ("run", "state", "step", "progress", "process")]
            rows = [
                [
                    r["run"],
                    t(f"project.run_{r['state']}"),
                    step_words(r["step"]) if r["step"] else "–",
                    _progress(r["progress"]),
                    str(r["pid"] or "–"),
                ]
                for r in self.runs
            ]
            tables.append(Table(t("project.runs"), columns, rows))
        notes = [
            t("project.run_error", run=r["run"], reason=r["error"])
            for r in self.runs
            if r["error"] and r["state"] in ("failed", "refused")
        ]
        for one in self.projects:
            with speaking_of(one["project"] if self._several else None):
                notes += [_live(one)] if one["live"] else []
        notes += [sentence_beside(one, p["project"]) for p in self.projects for one in p["beside"]]
        notes += [p["savings"] for p in self.projects if p.get("savings")]
        notes += [p["drift"]["sentence"] for p in self.projects if p["drift"]]
        servers = [t("project.server_at", **server) for server in self.servers]
        notes += servers or [t("project.no_server")]
        tables.append(Table("", (), (), notes))
        return tables


def gather(
    store: Store, folder: Path, names: Sequence[str], savings: Mapping[str, str] | None = None
) -> Status:
    """Reads the state of these projects. `savings` are sentences on what some of them save."""
    projects, runs = [], []
    for name in names:
        row = store.catalog.project(name)
        data = store.catalog.latest_data(name)
        deployment = store.catalog.live(row.endpoint)
        live = store.catalog.model_version(deployment.version) if deployment else None
        projects.append(
            {
                "project": row.called,
                "task": row.task,
                "data": data.id if data else None,
                "live": live.id if live else None,
                "method": live.method if live else None,
                "score": _score(live),
                "metric": live.metrics.get("primary", "accuracy") if live else "accuracy",
                "corrections": store.ledger.waiting(name) + kept_corrections(store.catalog, name),
                "live_accuracy": _audited(store, name, live),
                "drift": _drift(store, name, live),
                "beside": beside(store, row.endpoint),
                "savings": (savings or {}).get(name, ""),
            }
        )
        runs += [run_state(store, run) for run in store.catalog.runs(name, limit=3)]
    servers = [
        {"address": s.address, "pid": s.pid, "started": s.started} for s in store.catalog.servers()
    ]
    several = any(to_name(store, name) for name in names)
    return Status(folder, projects, runs, servers, several)


def _score(version: ModelVersion | None) -> Mapping[str, float] | None:
    if version is None:
        return None
    primary = version.metrics.get("primary", "accuracy")
    score: Mapping[str, float] | None = version.metrics.get("test", {}).get(primary)
    return score


def _audited(store: Store, project: str, live: ModelVersion | None) -> dict[str, Any] | None:
    """How right the live version's answers are, from those that were drawn at random and reviewed:
    the share with its interval, and how many `rows` it rests on."""
    rows, right = store.ledger.audited(project, live.id) if live else (0, 0)
    return {**asdict(wilson(right, rows)), "rows": rows} if rows else None


def _drift(store: Store, project: str, live: ModelVersion | None) -> dict[str, Any] | None:
    """What the last look at the live version's drift found; nothing is looked at for it."""
    found = noted(store.catalog, live.id if live else None)
    if found is None:
        return None
    signals = [signal.name for signal in found.signals if signal.alarm]
    with speaking_of(to_name(store, project)):
        return {"alarm": found.alarm, "signals": signals, "sentence": sentence(found)}


def _live(project: Mapping[str, Any]) -> str:
    found = project["live_accuracy"]
    if found is None:
        return t("review.live_unknown", project=project["project"])
    return t(
        "review.live_accuracy",
        project=project["project"],
        version=project["live"],
        score=percent(found),
        rows=found["rows"],
    )


def run_state(store: Store, run: Run) -> dict[str, Any]:
    """Where `run` stands. One whose process is gone is ``interrupted``."""
    if run.state == "running" and not _alive(run.pid):
        run = store.catalog.run(run.id)  # it may have ended since `run` was read
    steps = store.catalog.steps(run.id)
    last = steps[-1] if steps else None
    state: str = run.state
    if state == "running" and not _alive(run.pid):
        state = "interrupted"
    return {
        "run": run.id,
        "kind": run.kind,
        "state": state,
        "step": last.step if last else None,
        "attempt": last.attempt if last else None,
        "progress": last.progress if last and state == "running" else None,
        "pid": run.pid if state == "running" else None,
        "started": run.started,
        "seconds": _seconds(run),
        "error": run.error,
        "hint": run.hint,
    }


def _seconds(run: Run) -> float | None:
    if run.started is None:
        return None
    return ((run.finished or datetime.now(UTC)) - run.started).total_seconds()


def _alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _progress(progress: Any) -> str:
    if progress is None or not progress.total:
        return "–"
    figures = "  ".join(f"{unit_words(name)} {v:.4g}" for name, v in progress.figures.items())
    words = f"{progress.done:,.0f}/{progress.total:,.0f} {unit_words(progress.unit)} {figures}"
    return words.strip()
