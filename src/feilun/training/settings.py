"""What the settings of all methods share, and how the project file's table becomes them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from feilun import registry
from feilun.config import TrainingConfig, describe_faults
from feilun.errors import InvalidSettings
from feilun.messages import t
from feilun.tasks.base import TaskBase
from feilun.training.job import Method
from feilun.training.rows import Balance
from feilun.types import Range

__all__ = [
    "MethodSettings",
    "begins_with_base",
    "method",
    "methods",
    "methods_for",
    "read_by_encoders",
    "resolve",
]


class MethodSettings(BaseModel):
    """Base of every method's own settings, the ``[training.METHOD]`` table of the project file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    class_weights: Balance = Field(
        "none", description="none, or balanced: every label weighs the same in total, rare or not"
    )
    augment: Literal["auto", "off"] | tuple[str, ...] = Field(
        "auto",
        description="changed copies of training rows: auto keeps them where they surely help "
        "(tried up to 2,000 rows), off, or the names of the changes",
    )
    augment_share: float = Field(
        1.0, gt=0, le=8, description="copies for each training row, more of the rarer labels"
    )

    @classmethod
    def space(cls, task: TaskBase) -> Mapping[str, Range]:
        """The settings that a search tries, with what they may be; see `feilun.training.space`.
        Default: none."""
        return {}


def methods() -> list[str]:
    """The names of all methods from the lowest stage to the highest."""
    return sorted(registry.names("methods"), key=lambda name: (method(name).order, name))


def methods_for(task: TaskBase, base: Path | str | None = None) -> list[str]:
    """The methods that can learn `task`, the lowest stage first: its baseline."""
    return [name for name in methods() if method(name).supports(task, base) is None]


def read_by_encoders(task: TaskBase) -> str | None:
    """None where a network reads what `task` takes and learns what it answers; else the reason why
    it cannot."""
    if not task.encodes:
        return t("training.reason_no_encoder", task=task.name)
    return None if task.family.differentiable else t("training.reason_no_head", task=task.name)


@cache
def method(name: str) -> Method:
    """The method `name`: its module, or the ``Method`` of its module. Raises `UsageError` listing
    the options for an unknown one."""
    module = registry.load("methods", name)
    found: Any = module.Method() if hasattr(module, "Method") else module
    if not hasattr(found, "order"):
        found.order = found.rung  # its name in version 0.1
    return cast(Method, found)


def begins_with_base(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether the method `name` begins with a base: always, or with these `settings`."""
    begins = getattr(method(name), "begins", None)
    return method(name).needs_base or bool(begins and begins(settings))


def resolve(config: TrainingConfig) -> dict[str, MethodSettings]:
    """The settings of every method: defaults, then ``training.X`` for each that has a setting X,
    then the method's own ``[training.METHOD]``.

    Raises `InvalidSettings` with all faults of all methods together.
    """
    extra = dict(config.model_extra or {})
    found = methods()
    shared = {key: value for key, value in extra.items() if key not in found}
    faults = [
        f"training.{key}" for key in shared if not any(key in _fields(name) for name in found)
    ]
    resolved: dict[str, MethodSettings] = {}
    for name in found:
        common = {key: value for key, value in shared.items() if key in _fields(name)}
        try:
            own = extra.get(name, {})
            if not isinstance(own, Mapping):
                faults.append(f"training.{name} ({own!r})")
                continue
            values: dict[str, Any] = {**common, **own}
            resolved[name] = cast(MethodSettings, method(name).Settings(**values))
        except ValidationError as error:
            faults += describe_faults(error, prefix=f"training.{name}.")
    if faults:
        raise InvalidSettings("training.settings", faults=list(dict.fromkeys(faults)))
    return resolved


def _fields(name: str) -> Mapping[str, Any]:
    return method(name).Settings.model_fields
