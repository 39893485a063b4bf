"""``feilun train``: candidates of the planned rungs, neither judged nor deployed."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.cli.values import settings
from feilun.messages import t


def command(
    shell: Shell,
    method: Annotated[str | None, typer.Option("--method", help=t("cli.option_method"))] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help=t("cli.option_set"))] = None,
    restart: Annotated[bool, typer.Option("--restart", help=t("cli.option_restart"))] = False,
) -> None:
    with shell.project() as project, shell.progress() as report:
        result = project.train(
            method=method, overrides=settings(set_), restart=restart, report=report
        )
    shell.show(result)
