"""``feilun credit``: gives a customer money back, with a reason, on the current month's invoice."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
    amount: Annotated[str, typer.Argument(help=t("cli.argument_amount"))],
    reason: Annotated[str, typer.Option("--reason", help=t("cli.option_credit_reason"))],
    currency: Annotated[
        str | None, typer.Option("--currency", help=t("cli.option_currency"))
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help=t("cli.option_reference"))
    ] = None,
) -> None:
    with shell.workspace() as workspace:
        shell.show(
            workspace.invoices.credit(
                customer, amount, reason, currency=currency, reference=reference
            )
        )
