"""``feilun data show``: the project's data versions and some rows of the latest."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    rows: Annotated[int, typer.Option("--rows", min=0, help=t("cli.option_rows"))] = 5,
) -> None:
    with shell.project() as project:
        shell.show(project.show(rows=rows))
