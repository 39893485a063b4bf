"""``feilun serve``: the API, with what is live, until it is stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    host: Annotated[str, typer.Option("--host", help=t("cli.option_host"))] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help=t("cli.option_port"))
    ] = 8000,
) -> None:
    from feilun.api import run

    with shell.workspace() as workspace:
        workspace.apply_prices()
        greeting = workspace.greeting

        def ready(address: str) -> None:
            shell.emit({"address": address, "docs": f"{address}/docs"}, *greeting(address))

        run(workspace, host=host, port=port, on_ready=ready)
