"""``feilun invoice close``: a finished month becomes invoices that never change."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    month: Annotated[str, typer.Argument(help=t("cli.argument_month"))],
    customer: Annotated[
        str | None, typer.Option("--customer", help=t("cli.option_customer"))
    ] = None,
    tax: Annotated[str | None, typer.Option("--tax", help=t("cli.option_tax"))] = None,
    check: Annotated[bool, typer.Option("--check", help=t("cli.option_invoice_check"))] = False,
) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.invoices.close(month, customer=customer, tax=tax, check=check))
