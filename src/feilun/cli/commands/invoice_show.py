"""``feilun invoice show``: one invoice; with ``--json`` its whole document."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    number: Annotated[str, typer.Argument(help=t("cli.argument_invoice"))],
    check: Annotated[bool, typer.Option("--check", help=t("cli.option_invoice_check"))] = False,
) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.invoices.show(number, check=check))
