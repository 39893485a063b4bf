"""``feilun ledger verify``: whether the ledger still says what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    day: Annotated[str | None, typer.Option("--day", help=t("cli.option_ledger_day"))] = None,
    roots: Annotated[Path | None, typer.Option("--roots", help=t("cli.option_roots"))] = None,
) -> None:
    from feilun.project.ledger_book import verify

    with shell.workspace() as workspace:
        result = verify(workspace, day, roots)
    shell.show(result)
    if not result.ok:
        raise typer.Exit(3)
