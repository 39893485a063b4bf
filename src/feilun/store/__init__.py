"""What is kept: catalog, ledger, artifacts, and other people's databases to read from.

Importing this costs nothing; `open_store` brings the databases in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feilun.store.store import Store

__all__ = ["open_store"]


def open_store(
    folder: Path, database: str | None = None, artifacts: Path | str | None = None
) -> Store:
    """Opens the workspace `folder`: see `feilun.store.store.open_store`."""
    from feilun.store import store

    return store.open_store(folder, database, artifacts)
