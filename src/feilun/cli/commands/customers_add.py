"""``feilun customers add``: a new customer."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.options import Details, Limits
from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
    *,
    plan: Annotated[str | None, typer.Option("--plan", help=t("cli.option_plan"))] = None,
    begin: Annotated[str | None, typer.Option("--from", help=t("cli.option_from"))] = None,
    limits: Limits,
    details: Details,
) -> None:
    from feilun.project.moments import moment_of

    with shell.workspace() as workspace:
        shell.show(
            workspace.customers.add(
                customer,
                plan=plan,
                effective=moment_of(begin),
                limits=limits,
                details=details,
            )
        )
