"""``feilun plan set``: a file becomes a version of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    file: Annotated[Path, typer.Argument(help=t("cli.argument_plan_file"))],
    name: Annotated[str | None, typer.Option("--name", help=t("cli.option_plan_name"))] = None,
    begin: Annotated[str | None, typer.Option("--from", help=t("cli.option_from"))] = None,
) -> None:
    from feilun.project.moments import moment_of

    with shell.workspace() as workspace:
        shell.show(workspace.plans.set(file, name=name, effective=moment_of(begin)))
