"""``feilun import``: an exported version into this workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    folder: Annotated[Path, typer.Argument(help=t("cli.argument_exported"))],
) -> None:
    with shell.workspace() as workspace:
        model = workspace.import_version(folder, project=shell.project_name)
        shell.emit({"version": model.id, "state": model.state}, t("cli.imported", version=model.id))
