"""Customers: their plan, their limits, what an invoice says of them."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.options import Details, Limits
from feilun.cli.shell import Shell
from feilun.errors import UsageError
from feilun.messages import t

__all__ = [
    "customers_add",
    "customers_list",
    "customers_set",
    "customers_show",
    "customers_topup",
    "customers_topups",
]


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


def customers_topup(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
    amount: Annotated[str, typer.Argument(help=t("cli.argument_topup"))],
    *,
    currency: Annotated[
        str | None, typer.Option("--currency", help=t("cli.option_currency"))
    ] = None,
    note: Annotated[str, typer.Option("--note", help=t("cli.option_topup_note"))] = "",
    reference: Annotated[
        str | None, typer.Option("--reference", help=t("cli.option_topup_reference"))
    ] = None,
) -> None:
    """Records what a customer paid beforehand."""
    with shell.workspace() as workspace:
        shell.show(
            workspace.customers.top_up(
                customer, amount, currency=currency, note=note, reference=reference
            )
        )


def customers_topups(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
) -> None:
    """What a customer paid beforehand, and when."""
    with shell.workspace() as workspace:
        shell.show(workspace.customers.topups(customer))
