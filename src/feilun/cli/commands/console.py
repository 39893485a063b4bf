"""The console in a browser."""

from __future__ import annotations

import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

if TYPE_CHECKING:
    from feilun.web.access import Access

__all__ = ["console"]


def console(
    shell: Shell,
    host: Annotated[str, typer.Option("--host", help=t("cli.option_host"))] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help=t("cli.option_console_port"))
    ] = 8100,
    api_port: Annotated[
        int, typer.Option("--api-port", min=0, max=65535, help=t("cli.option_api_port"))
    ] = 8000,
    no_api: Annotated[bool, typer.Option("--no-api", help=t("cli.option_no_api"))] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help=t("cli.option_no_browser"))
    ] = False,
    host_name: Annotated[
        list[str] | None, typer.Option("--host-name", help=t("cli.option_console_host"))
    ] = None,
) -> None:
    """Pages for everything, until it is stopped; turns what is queued; starts the API."""
    from feilun.web import run

    with shell.workspace() as workspace:

        def ready(address: str, access: Access) -> None:
            link = f"{address}/enter?link={access.link()}"
            told = {"address": address, "link": link}
            shell.emit(told, t("cli.console_at", address=address), link)
            if not no_browser and not shell.json:
                webbrowser.open(link)

        run(
            workspace,
            host=host,
            port=port,
            api_port=None if no_api else api_port,
            hosts=host_name or (),
            on_ready=ready,
        )
