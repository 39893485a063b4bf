"""Which stages a run trains, with what settings, and why: fixed before anything is trained.

The fit check estimates memory and time of every stage on this machine first. What would not fit is
made smaller (no copies, batches, then what the method knows to be lighter, epochs, rows) and said
so, but never so small that it would learn nothing; what does not fit even then is left out of
``auto`` with its reason, and refused when it was asked for by name, with what fits offered instead.
 Where training is slower than the estimate, `replan` keeps to the time limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from feilun.config import TrainingConfig
from feilun.durations import about, spoken
from feilun.errors import EnvironmentProblem, UsageError
from feilun.messages import has, t
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training.augment import FEW
from feilun.training.fold_training import by_itself, can_be_folded
from feilun.training.job import DataStats, Estimate, Machine, TrainJob
from feilun.training.out_of_fold import FOLDS
from feilun.training.rows import learning_count
from feilun.training.settings import (
    MethodSettings,
    method,
    methods,
    methods_for,
    read_by_encoders,
)

__all__ = ["AUTO", "Plan", "PlannedStage", "plan"]

AUTO = "auto"
_FEWEST_ROWS = 200
"""Training rows that a time limit may leave a method with."""
_FEWEST_STEPS = 100
"""Steps of the optimizer that a time limit may leave a method with: 66 did not teach one class
of Chinese news at all (docs/decisions/frozen-layers.md)."""
_MEMORY_SHARE = 0.85
"""Of the free memory that one training may be estimated to need."""
_LEFT_FOR_FOLDS = 0.5
"""Folds that are trained where nobody asked for them, if this share of what a time limit leaves
suffices."""
_ANSWERING = 1.1
"""Times as long as a fold learns until it has answered, too: an answer is a third of a step."""
_USED = 0.9
"""Share of a time limit that a plan uses without a word on what it leaves."""
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One training: its method's complete settings, its estimate, in words why it is there, and on
    how many folds it is trained besides."""

    method: str
    settings: Mapping[str, Any]
    estimate: Estimate
    why_key: str
    folds: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages from the lowest to the highest, and sentences on what was left out and why."""

    stages: tuple[PlannedStage, ...]
    notes: tuple[str, ...]


def plan(
    wanted: str,
    job: TrainJob,
    config: TrainingConfig,
    settings: Mapping[str, MethodSettings],
    stats: DataStats,
    machine: Machine,
    paces: Mapping[str, float] | None = None,
    bases: Mapping[str, Path] | None = None,
) -> Plan:
    """Plans ``auto`` or one method. `paces` are how many times its estimate a method took here
    before, `bases` those of methods that begin from another than the others. `job` is what the
    stages have in common (task, data, base, and for an update the previous version, which then is
    the only stage).

    The baseline is always trained first, because every other stage is held against it. Raises
    `UsageError` when the method needs a base and there is none, or for an unknown one in
    ``[training] exclude``, `EnvironmentProblem` when it does not fit this machine or the time
    limit; both say what fits.
    """
    for name in config.exclude:
        method(name)
    planner = _Planner(job, config, settings, stats, machine, paces or {}, bases or {})
    return planner.automatic() if wanted == AUTO else planner.named(wanted)


class _Planner:
    def __init__(
        self,
        job: TrainJob,
        config: TrainingConfig,
        settings: Mapping[str, MethodSettings],
        stats: DataStats,
        machine: Machine,
        paces: Mapping[str, float],
        bases: Mapping[str, Path],
    ) -> None:
        self._job, self._config, self._settings = job, config, settings
        self._stats, self._machine, self._paces = stats, machine, paces
        self._bases = bases
        self._memory = machine.memory_bytes * _MEMORY_SHARE
        limit = config.time_limit
        self._seconds = float("inf") if limit is None else 60 * limit
        self._notes: list[str] = []
        self._late: dict[str, float] = {}  # what the limit leaves out: seconds that would let it in

    def named(self, wanted: str) -> Plan:
        updating = self._job.previous is not None
        self._require(wanted)
        baseline = self._able()[0]
        # Where no row judges, nothing can be held against the baseline.
        unjudged = getattr(method(wanted), "unjudged", False) and not self._stats.test
        chosen = [wanted] if updating or unjudged or wanted == baseline else [baseline, wanted]
        of = [one for one in getattr(self._settings[wanted], "of", ()) if one != baseline]
        for name in of:
            self._require(name)
        chosen[-1:-1] = of
        stages = []
        for name in chosen:
            why = "training.why_named" if name == wanted else "training.why_baseline"
            why = "training.why_member" if name in of else why
            if updating:
                interim = getattr(method(name), "interim", False)
                why = "training.why_interim" if interim else "training.why_update"
            stage = self._fitted(name, why)
            if stage is None:
                raise EnvironmentProblem(
                    "training.does_not_fit",
                    method=name,
                    reason=self._notes[-1],
                    options=self._fitting() or ["-"],
                )
            stages.append(stage)
            self._take(stage)
        return Plan(self._with_folds(stages), tuple(self._notes))

    def automatic(self) -> Plan:
        stages: list[PlannedStage] = []
        able = self._wanted()
        unread = read_by_encoders(self._task)
        expected = any(column.kind in ("text", "image") for column in self._task.columns)
        if unread and expected and not any(method(name).needs_base for name in able):
            self._notes.append(unread)  # what holds texts or pictures leads one to expect them
        fallbacks = {getattr(method(name), "fallback", None) for name in able}
        for name in able:
            if name in fallbacks or getattr(method(name), "on_request", False):
                continue
            if not self._worth(name):
                continue
            other = getattr(method(name), "fallback", None)
            kept = self._task.family.keeps_base and isinstance(self._job.base, Path)
            if kept and other in able:
                name, other = other, None
                stage = self._fitted(name, "training.why_adapters")
            else:
                stage = self._fitted(name, _why(name))
            if stage is None and other in able and self._eases(name, other):
                stage = self._fitted(other, _why(other))
                self._late.pop(other, None)  # with more time, the whole is tried first
            if stage is not None:
                stages.append(stage)
                self._take(stage)
        self._tell_rest(sum(stage.estimate.seconds for stage in stages))
        return Plan(self._with_folds(stages), tuple(self._notes))

    def _with_folds(self, stages: Sequence[PlannedStage]) -> tuple[PlannedStage, ...]:
        """The stages, those with folds that there is time for; the dearest are asked first."""
        wanted, found = self._config.folds, list(stages)
        asked = wanted != "auto"
        if wanted == 0 or (not asked and math.isinf(self._seconds)):
            return tuple(found)
        folds = FOLDS if wanted == "auto" else wanted
        for place, stage in reversed(list(enumerate(found))):
            name = stage.method
            if by_itself(name, self._task):
                continue
            if self._job.previous is not None or not can_be_folded(name, self._task):
                if asked:
                    self._notes.append(t("training.note_folds_none", method=name))
                continue
            seconds = self._fold_seconds(stage, folds)
            if seconds > self._seconds * (1.0 if asked else _LEFT_FOR_FOLDS):
                if asked:
                    need, left = about(seconds), about(max(0.0, self._seconds))
                    note = t("training.note_folds_late", method=name, need=need, left=left)
                    self._notes.append(note)
                continue
            need = about(seconds)
            note = t("training.note_folds_planned", method=name, folds=folds, time=need)
            self._notes.append(note)
            self._seconds -= seconds
            whole = replace(stage.estimate, seconds=stage.estimate.seconds + seconds)
            found[place] = replace(stage, estimate=whole, folds=folds)
        return tuple(found)

    def _fold_seconds(self, stage: PlannedStage, folds: int) -> float:
        """What training on so many folds takes besides."""
        part = replace(self._stats, train=round(self._stats.train * (folds - 1) / folds))
        settings = method(stage.method).Settings(**stage.settings)
        return _ANSWERING * folds * self._estimate(stage.method, settings, part).seconds

    def _tell_rest(self, needed: float) -> None:
        """Notes where much of the limit stays unused, because less than a whole training fits."""
        if self._late and needed < _USED * 60 * (self._config.time_limit or 0.0):
            name = min(self._late, key=self._late.__getitem__)
            self._notes.append(
                t(
                    "training.note_under_limit",
                    need=about(needed),
                    limit=spoken(60 * (self._config.time_limit or 0.0)),
                    method=name,
                    minutes=math.ceil(self._late[name] / 60),
                )
            )

    def _wanted(self) -> list[str]:
        """The methods that can learn the task and are not excluded; the baseline never is."""
        first, *others = self._able()
        excluded = [name for name in others if name in self._config.exclude]
        self._notes += [t("training.skip_excluded", method=name) for name in excluded]
        return [first, *(name for name in others if name not in excluded)]

    def _take(self, stage: PlannedStage) -> None:
        """Takes a stage's time off what is left; the baseline is trained even where it is more."""
        if stage.estimate.seconds > self._seconds:
            need = about(stage.estimate.seconds)
            self._notes.append(t("training.note_baseline_over", method=stage.method, need=need))
        self._seconds -= stage.estimate.seconds

    def _able(self) -> list[str]:
        """The methods that can learn the task, from the lowest stage to the highest."""
        found = methods_for(self._task, self._job.base)
        return [name for name in methods() if name in found or name in self._bases]

    def _base(self, name: str) -> Path | str | None:
        return self._bases.get(name, self._job.base)

    @property
    def _task(self) -> TaskBase:
        return tasks.get(self._job.task).bound(self._job.task_settings)

    def _worth(self, name: str) -> bool:
        """Whether auto should try the stage at all; notes why not."""
        asked = method(name)
        if asked.needs_torch and not self._machine.has_torch:
            self._notes.append(t("training.skip_no_torch", method=name))
            return False
        if asked.needs_base and self._base(name) is None:
            self._notes.append(t("training.skip_no_base", method=name))
            return False
        if _needs_folder(name) and not isinstance(self._base(name), Path):
            return False  # nothing to keep frozen in a network that begins from nothing
        least = min(asked.least_rows, self._task.family.least_rows or asked.least_rows)
        taught = getattr(asked, "taught", None)
        rows = taught(self._stats) if taught else self._stats.train
        if taught and not rows:
            return False  # nothing here is of the kind that it learns from
        if rows < least:
            self._notes.append(t("training.skip_few_rows", method=name, rows=rows, least=least))
            return False
        return True

    def _eases(self, name: str, other: str) -> bool:
        """Whether `other` may fit where `name`, whose fallback it is, does not. Where only a few
        weights learn, a step takes much less memory, but nearly as long."""
        if not isinstance(self._job.base, Path):
            return False
        by_steps = "steps" in self._estimate(other, self._settle(other)).detail
        return not (by_steps and name in self._late)

    def _require(self, name: str) -> None:
        """Raises when `name` cannot run at all, whatever the time and the memory."""
        asked, base = method(name), self._job.previous or self._job.base
        reason = asked.supports(self._task, base)
        if reason is not None:
            raise UsageError(
                "training.unsupported", method=name, reason=reason, options=self._able()
            )
        if not asked.needs_base:
            return
        if base is None:
            free = [one for one in self._able() if not method(one).needs_base]
            raise UsageError("training.method_needs_base", method=name, options=free)
        if not isinstance(base, Path) and _needs_folder(name):
            raise UsageError("training.needs_folder", method=name, base=base)
        if asked.needs_torch and not self._machine.has_torch:
            raise EnvironmentProblem(
                "training.needs_train", what=name, package="torch, transformers"
            )

    def _fitted(self, name: str, why: str) -> PlannedStage | None:
        """The stage, made smaller until it fits; None, with a note, if it does not even then."""
        whole = settings = self._settle(name)
        estimate = self._estimate(name, settings)
        fewest = self._fewest_steps(name, settings)
        steps: list[tuple[Callable[[Any], Any], Callable[[Estimate], bool]]] = [
            (self._drop_copies, self._in_memory),
            (_halve_batch, self._in_memory),
            (self._drop_copies, self._in_time),
            (lambda found: self._lighten(name, found), self._in_time),
            (_drop_epoch, self._in_time),
            (self._drop_rows, self._in_time),
        ]
        for shrink, fits in steps:
            while not fits(estimate):
                smaller = shrink(settings)
                if smaller is None:
                    break
                shrunk = self._estimate(name, smaller)
                if shrunk.detail.get("steps", math.inf) < fewest:
                    break
                settings, estimate = smaller, shrunk
        obstacle = self._obstacle(name, estimate)
        if obstacle is not None:
            self._notes.append(obstacle)
            return None
        self._notes += [
            t("training.note_shrunk", method=name, setting=key, value=value)
            for key, value in settings.model_dump().items()
            if value != getattr(whole, key)
        ]
        return PlannedStage(name, settings.model_dump(mode="json"), estimate, why)

    def _in_memory(self, estimate: Estimate) -> bool:
        return estimate.memory_bytes <= self._memory

    def _in_time(self, estimate: Estimate) -> bool:
        return estimate.seconds <= self._seconds

    def _obstacle(self, name: str, estimate: Estimate) -> str | None:
        """The sentence on what is missing for this estimate, None when nothing is."""
        need, disk = estimate.memory_bytes, estimate.detail.get("disk_bytes", 0.0)
        if not self._in_memory(estimate):
            free = self._memory / _GIB
            return t(
                "training.skip_memory", method=name, need=f"{need / _GIB:.1f}", free=f"{free:.1f}"
            )
        if disk > self._machine.disk_bytes:
            free = self._machine.disk_bytes / _GIB
            return t(
                "training.skip_disk", method=name, need=f"{disk / _GIB:.1f}", free=f"{free:.1f}"
            )
        if not self._in_time(estimate) and method(name).order > 0:
            left = f"{max(0.0, self._seconds) / 60:.1f}"
            minutes, steps = f"{estimate.seconds / 60:.1f}", estimate.detail.get("steps")
            spent = 60 * (self._config.time_limit or 0.0) - self._seconds
            self._late[name] = spent + estimate.seconds
            if not steps or self._job.previous is not None:
                return t("training.skip_time", method=name, need=minutes, left=left)
            return t("training.skip_steps", method=name, need=minutes, left=left, steps=int(steps))
        return None

    def _settle(self, name: str) -> Any:
        settings = self._settings[name]
        settle = getattr(method(name), "settle", None)
        job = replace(self._job, method=name, base=self._base(name))
        return settle(job, settings) if settle else settings

    def _estimate(self, name: str, settings: Any, stats: DataStats | None = None) -> Estimate:
        own = {"base": self._base(name), "settings": settings.model_dump(mode="json")}
        job = replace(self._job, method=name, **own)
        found = method(name).estimate(job, settings, stats or self._stats, self._machine)
        return replace(found, seconds=found.seconds * self._paces.get(name, 1.0))

    def _fewest_steps(self, name: str, settings: Any) -> float:
        """Steps below which a training that begins anew would learn nothing worth its time; no
        more than rows without copies make."""
        if self._job.previous is not None:
            return 0
        own = self._estimate(name, self._drop_copies(settings) or settings)
        return min(_FEWEST_STEPS, own.detail.get("steps", 0))

    def _lighten(self, name: str, settings: Any) -> Any:
        """What the method knows to be nearly as good and faster."""
        lighter = getattr(method(name), "lighter", None)
        job = replace(self._job, method=name)
        return lighter(job, self._settings[name], settings) if lighter else None

    def _drop_copies(self, settings: Any) -> Any:
        """No copies of rows, where they would be tried and nobody asked for them by name."""
        rows = min(getattr(settings, "max_rows", None) or self._stats.train, self._stats.train)
        if getattr(settings, "augment", "off") != "auto" or rows > FEW:
            return None
        return settings.model_copy(update={"augment": "off"})

    def _drop_rows(self, settings: Any) -> Any:
        """A fifth of the rows less, where that leaves enough to learn from."""
        most = learning_count(self._job, self._stats.train)
        rows = min(getattr(settings, "max_rows", None) or most, most)
        fewer = int(rows * 0.8)
        if fewer < _FEWEST_ROWS or not hasattr(settings, "max_rows"):
            return None
        # Copies of what is left would take the time again that was just saved.
        copies = {"augment": "off"} if settings.augment == "auto" and fewer <= FEW else {}
        return settings.model_copy(update={"max_rows": fewer, **copies})

    def _fitting(self) -> list[str]:
        """The methods that would fit, for the error to offer."""
        options, kept = [], list(self._notes)
        for name in self._able():
            try:
                self._require(name)
            except (EnvironmentProblem, UsageError):
                continue
            if self._fitted(name, ""):
                options.append(name)
        self._notes = kept
        return options


def _needs_folder(name: str) -> bool:
    asked = method(name)
    return asked.needs_base and getattr(asked, "needs_folder", True)


def _why(name: str) -> str:
    """The sentence on why auto tries a method; a method of another package may have none."""
    key = f"training.why_{name}"
    return key if has(key) else "training.why_named"


def _halve_batch(settings: Any) -> Any:
    """Half the batch and twice the batches before a step: the same learning in less memory."""
    # A loss that tells the rows of a batch apart learns something else from smaller ones.
    if not hasattr(settings, "accumulation") or (settings.batch_rows or 1) < 2:
        return None
    tokens = settings.batch_tokens
    return settings.model_copy(
        update={
            "batch_rows": settings.batch_rows // 2,
            "batch_tokens": None if tokens is None else max(1, tokens // 2),
            "accumulation": settings.accumulation * 2,
        }
    )


def _drop_epoch(settings: Any) -> Any:
    epochs = getattr(settings, "epochs", None)
    if not epochs or epochs < 2:
        return None
    return settings.model_copy(update={"epochs": epochs - max(1, epochs // 8)})
