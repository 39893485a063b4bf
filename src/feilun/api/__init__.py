"""HTTP: the API that customers call, and its documentation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feilun.api.app import create_app
    from feilun.api.server import run

__all__ = ["create_app", "run"]

_LAZY = {"create_app": "app", "run": "server"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"feilun.api.{_LAZY[name]}"), name)
