"""``feilun export``: a version as a folder that explains itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    model: Annotated[str, typer.Argument(help=t("cli.argument_model"))],
    folder: Annotated[Path, typer.Argument(help=t("cli.argument_folder"))],
) -> None:
    with shell.project() as project:
        files = project.export(model, folder)
        shell.emit({"folder": folder, "files": files}, t("cli.exported", folder=folder))
