"""Keys, by which a customer is known at the API."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.options import Limits
from feilun.cli.shell import Shell
from feilun.cli.values import duration
from feilun.messages import t

__all__ = ["keys_create", "keys_list", "keys_revoke", "keys_rotate"]


def keys_create(
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
    """A key for a customer, shown in full this once."""
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


def keys_list(shell: Shell) -> None:
    """The keys, by their visible beginning."""
    with shell.workspace() as workspace:
        shell.show(workspace.keys())


def keys_revoke(
    shell: Shell,
    prefix: Annotated[str, typer.Argument(help=t("cli.argument_prefix"))],
) -> None:
    """A key stops working, at once."""
    with shell.workspace() as workspace:
        workspace.revoke_key(prefix)
        shell.emit({"revoked": prefix}, t("cli.revoked", prefix=prefix))


def keys_rotate(
    shell: Shell,
    key: Annotated[str, typer.Argument(help=t("cli.argument_prefix"))],
    overlap: Annotated[str, typer.Option("--overlap", help=t("cli.option_overlap"))] = "24h",
) -> None:
    """A new key in place of one, which works a while longer."""
    span = duration("--overlap", overlap)
    with shell.workspace() as workspace:
        shell.show(workspace.rotate_key(key, overlap=span))
