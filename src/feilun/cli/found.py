"""The commands that there are: what the modules of `commands` declare."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from feilun.cli import commands

__all__ = ["command_functions", "command_names"]


def command_names() -> list[str]:
    """Every command's words, such as ``data add``, sorted."""
    return sorted(command_functions())


def command_functions() -> dict[str, Callable[..., None]]:
    """The functions that the modules of `commands` declare, by their words."""
    found: dict[str, Callable[..., None]] = {}
    for info in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}."):
        module = importlib.import_module(info.name)
        for name in module.__all__:
            found[name.rstrip("_").replace("_", " ")] = getattr(module, name)
    return found
