"""Says when a training evaluates, saves and stops, and tells how it goes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from feilun.errors import UsageError
from feilun.families.objective import Objective
from feilun.messages import t
from feilun.tasks.base import TaskBase
from feilun.training import checkpoints
from feilun.training.adaptation import Adaptation
from feilun.training.batches import Examples, Order
from feilun.training.frozen import FrozenLayers
from feilun.training.job import Report, TrainJob
from feilun.training.replan import Replan, load, save
from feilun.training.robust import Robust
from feilun.types import Progress

__all__ = ["RANK", "Course", "Steering"]

RANK = "rank"
"""The figure by which epochs are compared."""

_PULSE = 0.25  # seconds between two signs of life


@dataclass(frozen=True, slots=True)
class Course:
    """All that decides one training. `limit` is the cost of a batch at most; `half` is whether it
    computes in bfloat16. `sample` is told of the model at each judgement. `layers` are frozen, and
    `rows` and `held` hold what they gave."""

    job: TrainJob
    settings: Any
    order: Order
    limit: int
    rows: Examples
    held: Examples
    objective: Objective
    half: bool
    task: TaskBase
    adaptation: Adaptation
    sample: Callable[[Any], str] | None = None
    layers: FrozenLayers | None = None
    robust: Robust | None = None

    @property
    def metric(self) -> str:
        """The metric by which epochs are compared."""
        return self.objective.metric or self.task.primary

    @property
    def ends(self) -> list[int]:
        """The optimizer steps after which an epoch is over."""
        return [math.ceil(end / self.settings.accumulation) for end in self.order.ends]


class Steering:
    """The Trainer's callback, without its base class. It knows at which steps epochs end."""

    def __init__(self, course: Course, report: Report) -> None:
        self._course = course
        self._report = report
        self._ends = set(course.ends)
        self._figures: dict[str, float] = {}
        self.validation: dict[int, dict[str, float]] = {}
        self._spoke = 0.0
        self._saved = monotonic()
        self._wait = course.settings.checkpoint_seconds
        self._asked: float | None = None
        mark = (course.job.scratch / checkpoints.JOB).read_text("utf-8")
        self._mark = mark
        self.replan = Replan(
            course.ends[-1],
            course.ends,
            course.job.deadline,
            _judging(course),
            load(course.job.scratch, mark),
        )

    def on_train_begin(
        self, args: Any, state: Any, control: Any, lr_scheduler: Any = None, **_: Any
    ) -> None:
        self._saved = monotonic()
        self.replan.begin(state.global_step)
        if lr_scheduler is not None:
            bent = [_bent(rate, self.replan) for rate in lr_scheduler.lr_lambdas]
            lr_scheduler.lr_lambdas = bent
        for line in state.log_history:
            self._remember(line, int(line["step"]))

    def on_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        self._course.adaptation.stepped(model, state.global_step + 1)
        robust = self._course.robust
        if robust is not None and robust.average is not None:
            robust.average.update(model, state.global_step + 1)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = state.global_step
        if self.replan.stepped(step):
            save(self._course.job.scratch, self._mark, self.replan.bends)
            note = t("training.note_replanned", end=self.replan.end, steps=self.replan.steps)
            self._report(Progress("train", step, self.replan.end, "steps", note=note))
        over = step >= self.replan.end
        every = self._course.settings.checkpoint_steps
        due = step % every == 0 if every else monotonic() - self._saved > self._wait
        if over and step < self.replan.steps:
            control.should_training_stop = True
        if (over or step in self._ends) and len(self._course.held):
            control.should_evaluate = control.should_save = True
        elif due or over:
            control.should_save = True
            self._asked = monotonic()
        now = monotonic()
        if now - self._spoke > _PULSE or over:
            self._spoke = now
            self._tell(step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" not in (logs or {}):
            return
        if not math.isfinite(logs["loss"]):
            raise UsageError("training.diverged", learning_rate=self._course.settings.learning_rate)
        self._figures |= {
            "loss": float(logs["loss"]),
            **({"accuracy": float(logs["accuracy"])} if "accuracy" in logs else {}),
            "learning_rate": float(logs["learning_rate"]),
            "epoch": 1.0 + sum(end <= state.global_step for end in self._course.ends[:-1]),
        }

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, model: Any = None, **_: Any
    ) -> None:
        self.replan.judged()
        self._remember(metrics or {}, state.global_step)
        if self._course.sample is not None:
            said = self._course.sample(model)
            self._report(Progress("train", state.global_step, self.replan.end, "steps", note=said))
        self._tell(state.global_step)
        ranks = [line[f"eval_{RANK}"] for line in state.log_history if f"eval_{RANK}" in line]
        if len(ranks) - 1 - int(np.argmax(ranks)) >= self._course.settings.patience:
            # No checkpoint here: a run resumed from an earlier one comes to the same end.
            control.should_training_stop, control.should_save = True, False

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        checkpoints.seal(folder)
        self.replan.saved()
        self._saved = monotonic()
        if self._asked is not None:
            # Writing takes a twentieth of the time at most, also where weights are many.
            took = self._saved - self._asked
            self._wait = max(self._course.settings.checkpoint_seconds, 20 * took)
            self._asked = None

    def _remember(self, line: dict[str, float], step: int) -> None:
        metric = self._course.metric
        if f"eval_{metric}" in line:
            found = {metric: line[f"eval_{metric}"], "loss": line["eval_loss"]}
            self.validation[step] = found
            self._figures |= {f"validation_{name}": value for name, value in found.items()}

    def _tell(self, step: int) -> None:
        self._report(Progress("train", step, self.replan.end, "steps", dict(self._figures)))


def _judging(course: Course) -> float:
    """How many steps' time a judgement of the held rows takes: they pass forwards alone."""
    learned = float(course.rows.costs.sum()) * len(course.ends) / course.ends[-1]
    return float(course.held.costs.sum()) / max(1.0, 3 * learned) if len(course.held) else 0.0


def _bent(rate: Callable[[float], float], plan: Replan) -> Callable[[int], float]:
    """The step size of a schedule whose end moves with the plan."""
    return lambda step: rate(plan.place(step))
