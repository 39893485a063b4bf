"""``feilun invoice list``: the invoices there are."""

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
    month: Annotated[str | None, typer.Option("--month", help=t("cli.argument_month"))] = None,
) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.invoices.list(customer=customer, month=month))
