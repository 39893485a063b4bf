"""``feilun plan show``: one plan in full."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    name: Annotated[str, typer.Argument(help=t("cli.argument_plan"))],
    version: Annotated[
        int | None, typer.Option("--plan-version", help=t("cli.option_plan_number"))
    ] = None,
) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.plans.show(name, version))
