"""The ledger's chain of hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["ledger_root", "ledger_verify"]


def ledger_root(
    shell: Shell,
    to: Annotated[Path | None, typer.Option("--to", help=t("cli.option_roots"))] = None,
) -> None:
    """One hash for each finished day, in files outside the database."""
    from feilun.project.ledger_book import roots

    with shell.workspace() as workspace:
        shell.show(roots(workspace.scope, to))


def ledger_verify(
    shell: Shell,
    day: Annotated[str | None, typer.Option("--day", help=t("cli.option_ledger_day"))] = None,
    roots: Annotated[Path | None, typer.Option("--roots", help=t("cli.option_roots"))] = None,
) -> None:
    """Whether the ledger still says what was written."""
    from feilun.project.ledger_book import verify

    with shell.workspace() as workspace:
        result = verify(workspace.scope, day, roots)
    shell.show(result)
    if not result.ok:
        raise typer.Exit(3)
