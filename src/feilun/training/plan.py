"""Which rungs a run climbs, with what settings, and why: fixed before anything is trained.

The fit check estimates memory and time of every rung on this machine first. What does not fit is
left out of ``auto`` with its reason, and refused when it was asked for by name, with what fits
offered instead. A time limit becomes a number of epochs here; afterwards nothing looks at a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from feilun.config import TrainingConfig
from feilun.errors import EnvironmentProblem, UsageError
from feilun.messages import t
from feilun.training.job import DataStats, Estimate, Machine, TrainJob
from feilun.training.settings import MethodSettings, method, methods

__all__ = ["AUTO", "Plan", "PlannedRung", "plan"]

AUTO = "auto"
_BASELINE = "linear"
_LEAST_ROWS = {"head": 50, "lora": 200, "full": 200}
"""Training rows below which auto leaves a rung out: it would learn the rows by heart."""
_MEMORY_SHARE = 0.85
"""Of the free memory that one training may be estimated to need."""


@dataclass(frozen=True, slots=True)
class PlannedRung:
    """One training: its method's complete settings, its estimate, and in words why it is there."""

    method: str
    settings: Mapping[str, Any]
    estimate: Estimate
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The rungs from the lowest to the highest, and sentences on what was left out and why."""

    rungs: tuple[PlannedRung, ...]
    notes: tuple[str, ...]


def plan(
    wanted: str,
    job: TrainJob,
    config: TrainingConfig,
    settings: Mapping[str, MethodSettings],
    stats: DataStats,
    machine: Machine,
) -> Plan:
    """Plans ``auto`` or one method. `job` is what the rungs have in common (task, data, base, and
    for an update the previous version, which then is the only rung).

    The baseline, rung zero, is always trained first, because every other rung is held against it.
    Raises `UsageError` when the method needs a base and there is none, `EnvironmentProblem` when
    it does not fit this machine or the time limit; both say what fits.
    """
    planner = _Planner(job, config, settings, stats, machine)
    if wanted != AUTO:
        return planner.named(wanted)
    return planner.climb()


class _Planner:
    def __init__(
        self,
        job: TrainJob,
        config: TrainingConfig,
        settings: Mapping[str, MethodSettings],
        stats: DataStats,
        machine: Machine,
    ) -> None:
        self._job, self._settings = job, settings
        self._stats, self._machine = stats, machine
        limit = config.time_limit
        self._seconds = float("inf") if limit is None else 60 * limit
        self._notes: list[str] = []

    def named(self, wanted: str) -> Plan:
        chosen = [wanted] if self._job.previous or wanted == _BASELINE else [_BASELINE, wanted]
        rungs = []
        for name in chosen:
            self._usable(name)
            rung = self._fitted(
                name, t("training.why_baseline" if name != wanted else "training.why_named")
            )
            if rung is None:
                raise EnvironmentProblem(
                    "training.does_not_fit",
                    method=name,
                    reason=self._notes[-1],
                    options=self._fitting(),
                )
            rungs.append(rung)
            self._seconds -= rung.estimate.seconds
        return Plan(tuple(rungs), tuple(self._notes))

    def climb(self) -> Plan:
        rungs: list[PlannedRung] = []
        for name in methods():
            if name == "lora" or not self._worth(name):
                continue
            why = t(f"training.why_{name}")
            rung = self._fitted(name, why)
            if rung is None and name == "full":
                # Where the whole model does not fit, a few weights of it may.
                rung = self._fitted("lora", t("training.why_lora"))
            if rung is not None:
                rungs.append(rung)
                self._seconds -= rung.estimate.seconds
        return Plan(tuple(rungs), tuple(self._notes))

    def _worth(self, name: str) -> bool:
        """Whether auto should try the rung at all; notes why not."""
        asked = method(name)
        if not asked.needs_base:
            return True
        if not self._machine.has_torch:
            self._notes.append(t("training.skip_no_torch", method=name))
            return False
        if self._job.base is None:
            self._notes.append(t("training.skip_no_base", method=name))
            return False
        if name == "head" and not isinstance(self._job.base, Path):
            return False  # nothing to keep frozen in a network that begins from nothing
        least = _LEAST_ROWS[name]
        if self._stats.train < least:
            self._notes.append(
                t("training.skip_few_rows", method=name, rows=self._stats.train, least=least)
            )
            return False
        return True

    def _usable(self, name: str) -> None:
        asked = method(name)
        if not asked.needs_base or self._job.previous is not None:
            return
        if self._job.base is None:
            raise UsageError("training.method_needs_base", method=name)
        if not self._machine.has_torch:
            raise EnvironmentProblem(
                "training.needs_train", what=name, package="torch, transformers"
            )

    def _fitted(self, name: str, why: str) -> PlannedRung | None:
        """The rung with as many epochs as the time limit allows; None, with a note, if it does
        not fit at all."""
        asked, settings = method(name), self._settle(name)
        estimate = self._estimate(name, settings)
        epochs = getattr(settings, "epochs", None)
        while estimate.seconds > self._seconds and epochs and epochs > 1:
            epochs -= 1
            settings = settings.model_copy(update={"epochs": epochs})
            estimate = self._estimate(name, settings)
        memory = self._machine.memory_bytes * _MEMORY_SHARE
        if estimate.memory_bytes > memory:
            self._notes.append(
                t(
                    "training.skip_memory",
                    method=name,
                    need=f"{estimate.memory_bytes / 2**30:.1f}",
                    free=f"{memory / 2**30:.1f}",
                )
            )
            return None
        if estimate.seconds > self._seconds and asked.rung > 0:
            self._notes.append(
                t(
                    "training.skip_time",
                    method=name,
                    need=f"{estimate.seconds / 60:.1f}",
                    left=f"{max(0.0, self._seconds) / 60:.1f}",
                )
            )
            return None
        return PlannedRung(name, settings.model_dump(mode="json"), estimate, why)

    def _settle(self, name: str) -> Any:
        settings = self._settings[name]
        settle = getattr(method(name), "settle", None)
        return settle(replace(self._job, method=name), settings) if settle else settings

    def _estimate(self, name: str, settings: Any) -> Estimate:
        job = replace(self._job, method=name, settings=settings.model_dump(mode="json"))
        return method(name).estimate(job, settings, self._stats, self._machine)

    def _fitting(self) -> list[str]:
        """The methods that would fit, for the error to offer."""
        asked, kept = [], list(self._notes)
        for name in methods():
            if method(name).needs_base and (self._job.base is None or not self._machine.has_torch):
                continue
            if self._fitted(name, ""):
                asked.append(name)
        self._notes = kept
        return asked
