"""``feilun update``: learns from the corrections and promotes the result, or says why not."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.cli.values import settings
from feilun.messages import t


def command(
    shell: Shell,
    set_: Annotated[list[str] | None, typer.Option("--set", help=t("cli.option_set"))] = None,
    restart: Annotated[bool, typer.Option("--restart", help=t("cli.option_restart"))] = False,
    later: Annotated[bool, typer.Option("--later", help=t("cli.option_later"))] = False,
) -> None:
    with shell.project() as project:
        if later:
            queued = project.enqueue("update", overrides=settings(set_), restart=restart)
            shell.emit({"queued": queued}, t("cli.queued", run=queued))
            return
        with shell.progress() as report:
            result = project.update(overrides=settings(set_), restart=restart, report=report)
    shell.show(result)
    if not result.promoted:
        raise typer.Exit(1)
