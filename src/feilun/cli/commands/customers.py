"""Customers: their plan, their limits, what an invoice says of them."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.options import Details, Limits
from feilun.cli.shell import Shell
from feilun.errors import UsageError
from feilun.messages import t

__all__ = ["customers_add", "customers_list", "customers_set", "customers_show"]


def customers_add(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
    *,
    plan: Annotated[str | None, typer.Option("--plan", help=t("cli.option_plan"))] = None,
    begin: Annotated[str | None, typer.Option("--from", help=t("cli.option_from"))] = None,
    limits: Limits,
    details: Details,
) -> None:
    """A new customer."""
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


def customers_list(shell: Shell) -> None:
    """The customers, and what they used this month."""
    with shell.workspace() as workspace:
        shell.show(workspace.customers.all())


def customers_set(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
    *,
    plan: Annotated[str | None, typer.Option("--plan", help=t("cli.option_plan"))] = None,
    no_plan: Annotated[bool, typer.Option("--no-plan", help=t("cli.option_no_plan"))] = False,
    begin: Annotated[str | None, typer.Option("--from", help=t("cli.option_from"))] = None,
    limits: Limits,
    no_limit: Annotated[
        list[str] | None, typer.Option("--no-limit", help=t("cli.option_no_limit"))
    ] = None,
    details: Details,
    rename: Annotated[str | None, typer.Option("--rename", help=t("cli.option_rename"))] = None,
) -> None:
    """Changes what is given of a customer."""
    from feilun.project.moments import moment_of

    if plan is not None and no_plan:
        raise UsageError("plans.both_plans")
    with shell.workspace() as workspace:
        shell.show(
            workspace.customers.set(
                customer,
                plan=plan,
                no_plan=no_plan,
                effective=moment_of(begin),
                limits=limits | dict.fromkeys(no_limit or ()),
                details=details,
                rename=rename,
            )
        )


def customers_show(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
) -> None:
    """One customer in full."""
    with shell.workspace() as workspace:
        shell.show(workspace.customers.show(customer))
