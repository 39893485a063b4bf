"""Finds tasks, methods, engines and demonstrations by their file's name, or by entry point, without
importing them.

A kind is a package whose files each hold one member: ``feilun/tasks/text_classification.py`` is
the task ``text-classification``. Files whose name begins with an underscore, and ``base.py``,
belong to the room, not to the list. Other distributions add members through the entry-point group
``feilun.<kind>``. Nothing is listed by hand, so a new file is found without another change.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from feilun.errors import EnvironmentProblem, UsageError

__all__ = ["Kind", "load", "names"]

Kind = str

_PACKAGES: dict[Kind, str] = {
    "tasks": "feilun.tasks",
    "methods": "feilun.training.methods",
    "engines": "feilun.engines",
    "exporters": "feilun.compression.exporters",
    "demos": "feilun.demo.tasks",
}
_ROOM_FILES = {
    "tasks": frozenset({"base"}),
    "methods": frozenset({"base"}),
    "engines": frozenset({"base", "card", "batching", "array", "explain"}),
    "exporters": frozenset(),
    "demos": frozenset(),
}


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    module: str


@cache
def _members(kind: Kind) -> dict[str, _Member]:
    package = _PACKAGES[kind]
    spec = importlib.util.find_spec(package)
    paths = list(spec.submodule_search_locations or []) if spec else []
    found: dict[str, _Member] = {}
    for module in pkgutil.iter_modules(paths):
        if module.name.startswith("_") or module.name in _ROOM_FILES[kind]:
            continue
        _add(found, kind, module.name.replace("_", "-"), f"{package}.{module.name}")
    for entry in _declared().select(group=f"feilun.{kind}"):
        _add(found, kind, entry.name, entry.value.partition(":")[0])
    return dict(sorted(found.items()))


@cache
def _declared() -> Any:
    """What all distributions declare, read once: for one group they would all be read as well."""
    return entry_points()


def _add(found: dict[str, _Member], kind: Kind, name: str, module: str) -> None:
    if name in found:
        raise EnvironmentProblem(
            "registry.duplicate", kind=kind, name=name, first=found[name].module, second=module
        )
    found[name] = _Member(name, module)


def names(kind: Kind) -> list[str]:
    """The names of all members of `kind` (``tasks``, ``methods``, ``engines``, ...), sorted.

    Raises `EnvironmentProblem` when two modules claim one name.
    """
    return list(_members(kind))


def load(kind: Kind, name: str) -> ModuleType:
    """The module of the member `name`. Raises `UsageError` listing the options otherwise."""
    members = _members(kind)
    if name not in members:
        raise UsageError("registry.unknown", kind=kind, name=name, options=list(members))
    return importlib.import_module(members[name].module)
