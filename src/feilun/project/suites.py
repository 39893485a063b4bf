"""Public test suites: a base on CLUE's tasks, a language model on tasks by likelihood."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from feilun.engines.base import open_engine
from feilun.engines.card import FILE, read_card, write_card
from feilun.errors import NotFound, UsageError
from feilun.evaluation import clue, lm_suite
from feilun.messages import t
from feilun.metrics.intervals import wilson
from feilun.pipeline.context import Context
from feilun.project.results import scored
from feilun.render.wording import metric_name
from feilun.store.records import ModelVersion
from feilun.table import Result, Table
from feilun.types import Progress

__all__ = ["SUITES", "SuiteScores", "run"]

SUITES = ("clue", "lm")


@dataclass(frozen=True)
class SuiteScores(Result):
    """What was reached on each task of a suite: its ``name``, how many questions (``rows``) were
    asked, and `metrics` with their intervals; of a task that a base was trained on also the
    ``method`` and the rows that it was ``trained`` on; of a taught version also what its ``base``
    reaches. `model` is the version or the base."""

    suite: str
    model: str
    tasks: Sequence[Mapping[str, Any]]

    def tables(self) -> Sequence[Table]:
        columns = [t(f"project.suite_{one}") for one in ("task", "rows", "metric", "score")]
        trained = any("method" in one for one in self.tasks)
        beside = any("base" in one for one in self.tasks)
        if beside:
            columns.append(t("project.suite_base"))
        if trained:
            columns += [t("project.suite_method"), t("project.suite_trained")]
        rows = []
        for one in self.tasks:
            for name, score in one["metrics"].items():
                row = [one["name"], f"{one['rows']:,}", metric_name(name), scored(name, score)]
                if beside:
                    row.append(scored(name, one["base"][name]) if "base" in one else "")
                if trained:
                    row += [str(one.get("method", "")), f"{one.get('trained', 0):,}"]
                rows.append(row)
        title = t("project.suite", suite=self.suite, model=self.model)
        return (Table(title, columns, rows),)


def run(
    context: Context,
    version: ModelVersion | None,
    suite: str,
    data: Any,
    method: str | None,
    workspace_at: Callable[..., Any],
) -> SuiteScores:
    """Runs `suite` on the files of the folder `data`. `workspace_at` opens a workspace in a folder.
    Raises `UsageError` for an unknown suite or
    a version that has no likelihoods, `NotFound` for a folder that is not there, `InvalidData` for
    files that are not of the suite."""
    if suite not in SUITES:
        raise UsageError("project.unknown_suite", suite=suite, options=SUITES)
    if data is None:
        raise UsageError("project.suite_needs_data", suite=suite)
    folder = Path(data).expanduser()
    if not folder.exists():
        raise NotFound("project.no_suite_folder", folder=folder)
    if suite == "clue":
        return _clue(context, folder, method, workspace_at)
    assert version is not None
    return _lm(context, version, folder)


def _lm(context: Context, version: ModelVersion, folder: Path) -> SuiteScores:
    files = lm_suite.task_files(folder)
    read = [(name, file, lm_suite.read(name, file)) for name, file in files]
    with tempfile.TemporaryDirectory(prefix="feilun-base-") as place:
        places = {"metrics": context.folder(version)}
        base = _base_of(context, version, Path(place))
        if base is not None:  # what teaching has cost, or brought, in general
            places["base"] = base
        found: list[dict[str, Any]] = [
            {"name": f"{name} ({file.name})", "rows": len(asked)} for name, file, asked in read
        ]
        for which, at in places.items():
            with closing(open_engine(at)) as engine:
                likelihood = getattr(engine, "continued", None)
                if likelihood is None:
                    raise UsageError("project.no_likelihood", version=version.id)
                for done, (_, file, asked) in enumerate(read):
                    context.report(Progress("evaluate", done, len(read), note=file.name))
                    scores = lm_suite.scores(asked, likelihood)
                    found[done][which] = {name: asdict(score) for name, score in scores.items()}
    return SuiteScores("lm", version.id, found)


def _base_of(context: Context, version: ModelVersion, place: Path) -> Path | None:
    """The weights that `version` was taught from, as a version like it in `place`; None where it
    was taught from none, or where they are there no more."""
    recorded = version.config.get("rung", {}).get("base")
    base = Path(recorded["folder"]) if isinstance(recorded, dict) else None
    if base is None or not (base / "config.json").is_file():
        return None
    for file in base.iterdir():
        if file.is_file() and file.name != FILE:
            (place / file.name).symlink_to(file.resolve())
    write_card(place, read_card(context.folder(version, "")))
    return place


def _clue(
    context: Context, folder: Path, method: str | None, workspace_at: Callable[..., Any]
) -> SuiteScores:
    """Trains on each task's training file as on any data, in a workspace of its own that is gone
    afterwards, and judges by its dev file."""
    places = clue.found_in(folder)
    read = {
        name: tuple(clue.read(clue.TASKS[name], files) for files in both)
        for name, both in places.items()
    }  # all files are read before anything is trained
    named = context.config.project.base
    base = _folder(context, named)
    found = []
    for done, (name, (rows, dev)) in enumerate(read.items()):
        context.report(Progress("evaluate", done, len(read), note=name))
        with tempfile.TemporaryDirectory(prefix="feilun-clue-") as place:
            one = _trained(
                context, clue.TASKS[name], rows, dev, base, method, Path(place), workspace_at
            )
        found.append({"name": name, **one})
    return SuiteScores("clue", named or method or "-", found)


def _folder(context: Context, base: str | None) -> str | None:
    """`base` as the other workspace finds it: versions and folders of this one by their folder."""
    if base is None:
        return None
    own = context.weights(base)
    places = [own] if own else [Path(base).expanduser(), context.settings.workspace / base]
    return next((str(one.resolve()) for one in places if one.is_dir()), base)


def _trained(
    context: Context,
    task: clue.ClueTask,
    rows: Sequence[clue.Row],
    dev: Sequence[clue.Row],
    base: str | None,
    method: str | None,
    place: Path,
    workspace_at: Callable[..., Any],
) -> dict[str, Any]:
    with workspace_at(place, lang=context.settings.lang) as workspace:
        project = workspace.init("clue", task=task.task, base=base)
        sources: list[Any] = [list(rows)]
        documents = {(one["document"], one["passage"]) for one in dev if "passage" in one}
        if documents:  # what is asked of the dev file stands in its own texts
            names = ("document", "text", "revision", "heading", "page")
            sources.append(
                [dict(zip(names, (*both, "", "", ""), strict=True)) for both in sorted(documents)]
            )
        project.add(*sources)
        project.run(method=method, report=context.report)
        model = project.live_or_newest
        assert model is not None
        about = {"method": model.record.method, "trained": len(rows)}
        if task.choices:
            return {**about, **_chosen(project, model.id, dev)}
        judged = project.evaluate(model.id, on=list(dev))
        return {
            **about,
            "rows": judged.rows,
            "metrics": {task.metric: judged.metrics[task.metric]},
        }


def _chosen(project: Any, model: str, dev: Sequence[clue.Row]) -> dict[str, Any]:
    """How many questions are answered by the choice that is likeliest to be right."""
    items = [{"text": one["text"], "other": one["other"]} for one in dev]
    outputs = project.predict(items, model=model, all_scores=True).outputs
    best: dict[str, tuple[float, str]] = {}
    for one, output in zip(dev, outputs, strict=True):
        sure = float(output["scores"].get("1", 0.0))
        if one["group"] not in best or sure > best[one["group"]][0]:
            best[one["group"]] = sure, one["label"]
    right = sum(label == "1" for _, label in best.values())
    score = asdict(wilson(right, len(best)))
    return {"rows": len(best), "metrics": {"accuracy": score}}
