"""Trains one planned stage in a child process and registers it as a model version."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from feilun.compression.warm import warmed
from feilun.messages import t
from feilun.messages.sentences import to_kept
from feilun.pipeline.context import Context
from feilun.pipeline.lineage import to_learn
from feilun.pipeline.steps._inputs import inputs_of, made_before
from feilun.pipeline.steps._members import members, unlabelled
from feilun.store.drawn import Released
from feilun.store.records import REASON_IN, DataVersion, ModelVersion
from feilun.training import out_of_fold
from feilun.training.child import run_child
from feilun.training.fold_training import by_itself
from feilun.training.job import TrainJob
from feilun.types import Progress

__all__ = ["train"]

_GENEROUS = 1.5
"""Times its estimate that a stage may take where the limit holds it: it is said to be so far
off."""
_LEAST = 0.1
"""Share of its estimate without which a stage is not begun."""


def train(context: Context, plan: dict[str, Any], stage: dict[str, Any]) -> dict[str, Any]:
    """`plan` fixed everything; ``stage`` is one of its stages. Returns the version's id and the
    method's figures. Where the same was made before, it is that version, ``again``; where only
    what comes after training differs, its weights are taken. Checkpoints stay in the run's scratch
    folder until the version stands."""
    catalog, artifacts = context.store.catalog, context.store.artifacts
    left = _seconds(context, plan, stage)
    if left is not None and left <= 0 and stage["method"] != plan["rungs"][0]["method"]:
        note = t("training.note_no_time", method=stage["method"])
        context.report(Progress("train", 0, 0, note=note))
        return {"version": None, "method": stage["method"], "figures": {}, "notes": [to_kept(note)]}
    data = catalog.data_version(plan["data_version"])
    previous = catalog.model_version(stage["previous"]) if stage.get("previous") else None
    scratch = context.scratch(f"train-{stage['method']}")
    out = artifacts.new()
    released = _released(context, stage, data)
    asked = context.config.update.replay
    fresh, replay = to_learn(catalog, data, previous, asked) if previous else ((), 1.0)
    job = TrainJob(
        method=stage["method"],
        task=context.config.project.task,
        data=artifacts.path(data.artifact),
        base=_base(stage["base"]),
        previous=context.folder(previous, "") if previous else None,
        out=out,
        scratch=scratch,
        settings=stage["settings"],
        task_settings=plan["task_settings"],
        seed=plan["seed"],
        threads=plan["threads"],
        trackers=tuple(context.config.training.trackers),
        logs=_logs(context, stage["method"]),
        new_rows=fresh,
        replay=replay,
        deadline=None if left is None else time.time() + left,
        members=members(context, stage["method"], stage["settings"]),
        unlabelled=unlabelled(context, stage["settings"], scratch / "unlabelled"),
        folds=stage.get("folds", 0),
        drawn=bool(released),
    )
    drawn = job.drawn
    inputs = inputs_of(context, job, previous, stage.get("parent"))
    before, same = (None, False) if context.anew else made_before(context, inputs)
    if before is not None and before.weights is not None:
        shutil.rmtree(out, ignore_errors=True)
        figures: dict[str, float] = dict(before.metrics.get("training", {}))
        if same:
            note = t("pipeline.same_inputs", version=before.id)
            return _trained(before, figures, (note,)) | {"again": True}
        ref, drawn = before.weights, bool(before.config.get("drawn"))
        notes: tuple[str, ...] = (t("pipeline.same_weights", version=before.id),)
    else:
        try:
            with warmed() if job.base is not None else nullcontext():
                result = run_child(job, context.report)
            if job.drawn and not _answered(out, released):
                # Rows that it learned and did not answer out of fold could not judge it.
                shutil.rmtree(out)
                out.mkdir()
                drawn = False
                result = run_child(replace(job, drawn=False), context.report)
            ref = context.store.publish(out, "weights").ref
        finally:
            shutil.rmtree(out, ignore_errors=True)
        figures, notes = dict(result.figures), tuple(result.notes)
        if drawn:
            notes += (t("pipeline.drawn_learnt", rows=len(released)),)
    version = catalog.add_model_version(
        context.project,
        stage["method"],
        data_version=data.id,
        parent=stage.get("parent"),
        weights=ref,
        config={
            "rung": stage,
            "project": context.config.model_dump(mode="json"),
            "inputs": inputs,
            "drawn": drawn,
        },
        reason=stage["why"],
        metrics={"training": figures, REASON_IN: stage.get("why_in", {})},
        run_id=context.run_id,
        key=f"{context.run_id}:{stage['method']}",
    )
    shutil.rmtree(scratch, ignore_errors=True)
    return _trained(version, figures, notes)


def _released(context: Context, stage: dict[str, Any], data: DataVersion) -> Sequence[str]:
    """The ids of the answers drawn at random that train at once: in an update, where the method
    answers them out of fold."""
    if stage.get("parent") is None or not by_itself(stage["method"], context.task):
        return ()
    return Released(context.store.artifacts.path(data.artifact)).released


def _answered(folder: Path, rows: Sequence[str]) -> bool:
    """Whether any of the `rows` was answered out of fold."""
    kept = out_of_fold.read(folder)
    return kept is not None and bool(np.isin(out_of_fold.keys_of(rows), kept.keys).any())


def _seconds(context: Context, plan: dict[str, Any], stage: dict[str, Any]) -> float | None:
    """Seconds that this stage may train: of what the run's time limit still holds, what is left to
    it by the share that it and the later stages were planned with. None without a limit."""
    limit = context.config.training.time_limit
    if limit is None:
        return None
    attempts = [s for s in context.store.catalog.steps(context.run_id) if s.finished]
    mine = [s for s in attempts if s.step.startswith("train:")]
    spent = sum((s.finished - s.started).total_seconds() for s in mine if s.finished)
    left = 60 * limit - spent
    methods = [one["method"] for one in plan["rungs"]]
    rest = plan["rungs"][methods.index(stage["method"]) :]
    share = stage["seconds"] / max(1e-9, sum(one["seconds"] for one in rest))
    allowed = min(left, max(_GENEROUS * stage["seconds"], share * left))
    # Less than opening the model takes is no time at all.
    return allowed if left > _LEAST * stage["seconds"] else 0.0


def _trained(
    version: ModelVersion, figures: dict[str, float], notes: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "version": version.id,
        "method": version.method,
        "figures": figures,
        "notes": [to_kept(note) for note in notes],
    }


def _logs(context: Context, method: str) -> Path | None:
    """Where TensorBoard's files stay after the run: ``NAME/logs/RUN/METHOD``."""
    if "tensorboard" not in context.config.training.trackers:
        return None
    folder = context.store.catalog.project(context.project).called
    return context.settings.workspace / folder / "logs" / context.run_id / method


def _base(recorded: Any) -> Path | str | None:
    """A base as the plan recorded it: a folder, a name such as ``scratch:vit``, or none."""
    if isinstance(recorded, dict):
        return Path(recorded["folder"])
    return None if recorded is None else str(recorded)
