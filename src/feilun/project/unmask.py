"""Reversible masks in a file, turned back by the project's vault."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

from feilun.data.clean.mask import unmask
from feilun.errors import Conflict, InvalidData, NotFound
from feilun.project.scope import Scope
from feilun.store.vault import Vault, vault_file

__all__ = ["unmask_file"]


def unmask_file(scope: Scope, file: Path, out: Path | None = None) -> dict[str, Any]:
    """Writes `file` with its masks turned back to `out` (by default beside it), readable by its
    owner alone, line by line. Raises `NotFound` where the project has no vault, `Conflict` when
    `out` exists."""
    vault = vault_file(scope.store.folder, scope.name)
    if not vault.is_file():
        raise NotFound("clean.no_vault", project=scope.name, file=vault)
    target = out or file.with_name(f"{file.stem}.unmasked{file.suffix}")
    known = unknown = 0
    try:
        with file.open(encoding="utf-8", newline="") as source, closing(Vault(vault)) as said:
            try:
                descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                raise Conflict("clean.exists", file=target) from None
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as written:
                for line in source:
                    text, back, lost = unmask(line, said.value)
                    known, unknown = known + back, unknown + lost
                    written.write(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData("clean.unreadable", file=file, reason=str(error)) from None
    return {"file": str(target), "known": known, "unknown": unknown}
