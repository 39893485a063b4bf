"""``feilun backup``: the whole workspace into a folder, while it works."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    target: Annotated[Path, typer.Argument(help=t("cli.argument_backup"))],
) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.backup(target))
