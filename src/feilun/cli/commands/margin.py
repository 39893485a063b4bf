"""``feilun margin``: what customers, endpoints or versions earn and cost."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
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
    from feilun.project.margins import margin

    rates = dict(text.partition("=")[::2] for text in exchange or ())
    with shell.workspace() as workspace:
        shell.show(
            margin(
                workspace,
                by=by,
                month=month,
                per_hour=per_hour,
                machines=machines,
                exchange=rates,
            )
        )
