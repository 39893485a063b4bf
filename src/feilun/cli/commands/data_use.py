"""``feilun data use``: an earlier data version becomes the latest again."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    version: Annotated[str, typer.Argument(help=t("clean.argument_version"))],
    relearn: Annotated[bool, typer.Option("--relearn", help=t("clean.option_relearn"))] = False,
) -> None:
    with shell.project() as project:
        shell.show(project.use_data(version, relearn=relearn))
