"""``feilun price suggest``: a price for a margin at a load."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
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
    from feilun.project.margins import suggest_price
    from feilun.project.moments import per_second, share_of

    with shell.workspace() as workspace:
        shell.show(
            suggest_price(
                workspace,
                project or shell.project_name,
                margin=share_of(margin),
                load=per_second(load),
                per_hour=per_hour,
                days=days,
            )
        )
