"""Plans and prices, and what they earn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["margin", "plan_list", "plan_set", "plan_show", "price_suggest"]


def plan_list(shell: Shell) -> None:
    """The plans."""
    with shell.workspace() as workspace:
        shell.show(workspace.plans.all())


def plan_set(
    shell: Shell,
    file: Annotated[Path, typer.Argument(help=t("cli.argument_plan_file"))],
    name: Annotated[str | None, typer.Option("--name", help=t("cli.option_plan_name"))] = None,
    begin: Annotated[str | None, typer.Option("--from", help=t("cli.option_from"))] = None,
) -> None:
    """A file becomes a version of a plan."""
    from feilun.project.moments import moment_of

    with shell.workspace() as workspace:
        shell.show(workspace.plans.set(file, name=name, effective=moment_of(begin)))


def plan_show(
    shell: Shell,
    name: Annotated[str, typer.Argument(help=t("cli.argument_plan"))],
    version: Annotated[
        int | None, typer.Option("--plan-version", help=t("cli.option_plan_number"))
    ] = None,
) -> None:
    """One plan in full."""
    with shell.workspace() as workspace:
        shell.show(workspace.plans.show(name, version))


def price_suggest(
    shell: Shell,
    project: Annotated[
        str | None, typer.Argument(metavar="PROJECT", help=t("cli.argument_price_project"))
    ] = None,
    margin: Annotated[str, typer.Option("--margin", help=t("cli.option_margin"))] = "60%",
    load: Annotated[str, typer.Option("--load", help=t("cli.option_load"))] = "1/s",
    per_hour: Annotated[
        float | None, typer.Option("--per-hour", min=0, help=t("cli.option_per_hour"))
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help=t("cli.option_measured_days"))] = 30,
) -> None:
    """A price for a margin at a load."""
    from feilun.project.margins import suggest_price
    from feilun.project.moments import per_second, share_of

    with shell.workspace() as workspace:
        shell.show(
            suggest_price(
                workspace.scope,
                project or shell.project_name,
                margin=share_of(margin),
                load=per_second(load),
                per_hour=per_hour,
                days=days,
            )
        )


def margin(
    shell: Shell,
    by: Annotated[
        Literal["customer", "endpoint", "model"], typer.Option("--by", help=t("cli.option_by"))
    ] = "customer",
    month: Annotated[str | None, typer.Option("--month", help=t("cli.option_margin_month"))] = None,
    per_hour: Annotated[
        float | None, typer.Option("--per-hour", min=0, help=t("cli.option_per_hour"))
    ] = None,
    machines: Annotated[int, typer.Option("--machines", min=1, help=t("cli.option_machines"))] = 1,
    exchange: Annotated[
        list[str] | None, typer.Option("--exchange", help=t("cli.option_exchange"))
    ] = None,
) -> None:
    """What customers, endpoints or versions earn and cost."""
    from feilun.project.margins import margin

    rates = dict(text.partition("=")[::2] for text in exchange or ())
    with shell.workspace() as workspace:
        shell.show(
            margin(
                workspace.scope,
                by=by,
                month=month,
                per_hour=per_hour,
                machines=machines,
                exchange=rates,
            )
        )
