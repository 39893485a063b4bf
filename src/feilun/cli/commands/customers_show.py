"""``feilun customers show``: one customer in full."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.customers.show(customer))
