"""``feilun usage``: what customers used, owe and cost, from the ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    customer: Annotated[
        str | None, typer.Option("--customer", help=t("cli.option_customer"))
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help=t("cli.option_usage_days"))] = 30,
) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.usage(customer=customer, project=shell.project_name, days=days))
