"""``feilun keys create``: a key for a customer, shown in full this once."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.options import Limits
from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
    *,
    name: Annotated[str, typer.Option("--name", help=t("cli.option_key_name"))] = "",
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=36_500, help=t("cli.option_days"))
    ] = None,
    store_inputs: Annotated[
        int | None, typer.Option("--store-inputs", min=0, help=t("cli.option_store_inputs"))
    ] = None,
    scope: Annotated[list[str] | None, typer.Option("--scope", help=t("cli.option_scope"))] = None,
    limits: Limits,
) -> None:
    from feilun.store.records import DEFAULT_SCOPES

    with shell.workspace() as workspace:
        shell.show(
            workspace.create_key(
                customer,
                name=name,
                project=shell.project_name,
                days=days,
                store_inputs=store_inputs,
                scopes=scope or DEFAULT_SCOPES,
                limits=limits,
            )
        )
