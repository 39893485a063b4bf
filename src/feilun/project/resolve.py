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
from feilun.config import ProjectConfig, describe_faults, load_project
from feilun.errors import FeilunError, InvalidSettings
from feilun.training.settings import resolve as resolve_methods

__all__ = ["method_choices", "resolve"]


def method_choices() -> list[str]:
    """What ``--method`` takes: ``auto`` and every method that is found."""
    return ["auto", *registry.names("methods")]


def resolve(
    file: Path, overrides: Mapping[str, Any] | None = None
) -> tuple[ProjectConfig, dict[str, dict[str, Any]]]:
    """The checked file, and for each method its settings with defaults filled in.

    Raises `InvalidSettings` with every fault: unknown keys, wrong values, unknown tasks, methods
    and tables of methods that do not exist.
    """
    config = load_project(file, overrides)
    faults: list[str] = []
    task = _attempt(faults, lambda: registry.load("tasks", config.project.task))
    if task is not None:
        _check(faults, "task", task.Task.Settings, config.task)
    settings: dict[str, dict[str, Any]] = {}
    try:
        methods = resolve_methods(config.training)
        settings = {name: found.model_dump(mode="json") for name, found in methods.items()}
    except InvalidSettings as error:
        faults += error.params["faults"]
    if config.training.method not in method_choices():
        options = ", ".join(method_choices())
        faults.append(f"training.method ({config.training.method!r}): {options}")
    if faults:
        raise InvalidSettings("config.project", file=file, faults=faults)
    return config, settings


def _check(faults: list[str], where: str, model: type[BaseModel], raw: Mapping[str, Any]) -> None:
    try:
        model(**raw)
    except ValidationError as error:
        faults += describe_faults(error, prefix=f"{where}.")


def _attempt(faults: list[str], action: Any) -> Any:
    try:
        return action()
    except FeilunError as error:
        faults.append(error.message())
        return None
