"""feilun (飞轮, "flywheel"): from your own data to your own model behind a metered API, and round
again on feedback.

The verbs are methods: ``feilun.Workspace(".").project("reviews").train()``. Errors are here at
once; verbs and client load when they are first used, so that ``import feilun`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from feilun.errors import (
    AlreadyRunning,
    BadAnswer,
    Conflict,
    CorruptArtifact,
    EnvironmentProblem,
    FeilunError,
    Forbidden,
    Gone,
    InvalidData,
    InvalidSettings,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    PaymentRequired,
    QuotaExceeded,
    RateLimited,
    Refused,
    Unauthorized,
    UsageError,
)

if TYPE_CHECKING:
    from feilun.client import AsyncClient, Client
    from feilun.project import Model, Project, Workspace

__all__ = [
    "AlreadyRunning",
    "AsyncClient",
    "BadAnswer",
    "Client",
    "Conflict",
    "CorruptArtifact",
    "EnvironmentProblem",
    "FeilunError",
    "Forbidden",
    "Gone",
    "InvalidData",
    "InvalidSettings",
    "Model",
    "NotFound",
    "Overloaded",
    "PayloadTooLarge",
    "PaymentRequired",
    "Project",
    "QuotaExceeded",
    "RateLimited",
    "Refused",
    "Unauthorized",
    "UsageError",
    "Workspace",
    "__version__",
]

__version__ = "0.1.0"

_LAZY = {
    "AsyncClient": "feilun.client",
    "Client": "feilun.client",
    "Model": "feilun.project",
    "Project": "feilun.project",
    "Workspace": "feilun.project",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
