"""``feilun gc``: removes what nothing refers to."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    keep: Annotated[int, typer.Option("--keep", min=1, help=t("cli.option_keep"))] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=t("cli.option_dry_run"))] = False,
) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.gc(keep=keep, dry_run=dry_run))
