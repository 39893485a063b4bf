"""The project file with everything that methods and tasks declare, checked together.

`config` reads the file; what belongs to a method or a task stays raw there. Here each of them
checks its own table, and all faults of all of them are reported at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from feilun import registry
from feilun.config import (
    ProjectConfig,
    TrainingConfig,
    check_project,
    describe_faults,
    read_project,
)
from feilun.errors import InvalidSettings, UsageError
from feilun.messages import t
from feilun.training.plan import AUTO
from feilun.training.settings import resolve as resolve_methods

__all__ = ["method_choices", "resolve"]

_OF_ALL = frozenset(TrainingConfig.model_fields)
"""Keys of ``[training]`` that belong to no method."""


def method_choices() -> list[str]:
    """What ``--method`` takes: ``auto`` and every method that is found."""
    return [AUTO, *registry.names("methods")]


def resolve(
    file: Path, overrides: Mapping[str, Any] | None = None
) -> tuple[ProjectConfig, dict[str, dict[str, Any]]]:
    """The checked file, and for each method its settings with defaults filled in.

    Raises `InvalidSettings` with every fault: unknown keys, wrong values, unknown tasks, methods
    and tables of methods that do not exist.
    """
    raw = read_project(file, overrides)
    faults: list[str] = []
    config: ProjectConfig | None = None
    try:
        config = check_project(file, raw)
    except InvalidSettings as error:
        faults += error.params["faults"]
    # What the tables hold is looked at one by one from here on: a fault in one hides no other.
    project, training = _table(raw, "project"), _table(raw, "training")
    if isinstance(project.get("task"), str):
        try:
            task = registry.load("tasks", project["task"]).Task
            _check(faults, "task", task.Settings, _table(raw, "task"))
        except UsageError as error:
            faults.append(error.message())
    settings: dict[str, dict[str, Any]] = {}
    own = {name: value for name, value in training.items() if name not in _OF_ALL}
    try:
        methods = resolve_methods(TrainingConfig(**own))
        settings = {name: found.model_dump(mode="json") for name, found in methods.items()}
    except InvalidSettings as error:
        faults += error.params["faults"]
    method = training.get("method", AUTO)
    if isinstance(method, str) and method not in method_choices():
        faults.append(f"training.method ({method!r}): {', '.join(method_choices())}")
    schedule = _table(raw, "update").get("schedule")
    if isinstance(schedule, str) and not _is_cron(schedule):
        faults.append(t("project.bad_schedule", schedule=schedule))
    if faults or config is None:
        raise InvalidSettings("config.project", file=file, faults=faults)
    return config, settings


def _table(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = raw.get(name, {})
    return dict(found) if isinstance(found, Mapping) else {}


def _is_cron(schedule: str) -> bool:
    from croniter import croniter

    return len(schedule.split()) == 5 and bool(croniter.is_valid(schedule))


def _check(faults: list[str], where: str, model: type[BaseModel], raw: Mapping[str, Any]) -> None:
    try:
        model(**raw)
    except ValidationError as error:
        faults += describe_faults(error, prefix=f"{where}.")
