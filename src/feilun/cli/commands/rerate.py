"""``feilun rerate``: what a closed month costs by another price; the difference is charged or given
back in the current month, only with ``--yes``."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
    month: Annotated[str, typer.Argument(help=t("cli.argument_month"))],
    version: Annotated[int, typer.Option("--plan-version", help=t("cli.option_plan_version"))],
    yes: Annotated[bool, typer.Option("--yes", help=t("cli.option_rerate_yes"))] = False,
) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.invoices.rerate(customer, month, version, write=yes))
