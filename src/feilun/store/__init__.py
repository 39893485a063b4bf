"""What is kept: catalog, ledger, artifacts, and other people's databases to read from.

Importing this costs nothing; `open_store` brings the databases in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from feilun.store.store import Store

__all__ = ["Store", "open_store"]


def open_store(
    folder: Path,
    database: str | None = None,
    artifacts: Path | str | None = None,
    *,
    durability: Literal["process", "power"] = "process",
) -> Store:
    """Opens the workspace `folder`: see `feilun.store.store.open_store`."""
    from feilun.store import store

    return store.open_store(folder, database, artifacts, durability=durability)


def __getattr__(name: str) -> Any:
    # `Store` for type annotations, without the databases' libraries until somebody asks.
    if name == "Store":
        from feilun.store.store import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
