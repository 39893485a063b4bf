"""The server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["serve"]


def serve(
    shell: Shell,
    host: Annotated[str, typer.Option("--host", help=t("cli.option_host"))] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help=t("cli.option_port"))
    ] = 8000,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help=t("cli.option_tls_cert"))
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help=t("cli.option_tls_key"))] = None,
    admin: Annotated[bool, typer.Option("--admin", help=t("cli.option_admin"))] = False,
    admin_address: Annotated[
        str | None, typer.Option("--admin-address", help=t("cli.option_admin_address"))
    ] = None,
    memory: Annotated[str | None, typer.Option("--memory", help=t("cli.option_memory"))] = None,
    console: Annotated[bool, typer.Option("--console", help=t("cli.option_console"))] = False,
    console_port: Annotated[
        int, typer.Option("--console-port", min=0, max=65535, help=t("cli.option_console_port"))
    ] = 8100,
) -> None:
    """The API, with what is live, until it is stopped.

    This process only holds the port; the server is its child, the same command again, and is
    started anew when it crashes or hangs (`feilun.serving.supervisor`).
    """
    from feilun.serving.sizes import parse_size
    from feilun.serving.supervisor import Link

    size = parse_size(memory) if memory else None
    link = Link.found()
    if link is None:
        with _console(shell, console_port) if console else nullcontext():
            raise typer.Exit(_supervise(host, port))

    from feilun.api import run
    from feilun.api.security import arrange, greet

    with shell.workspace() as workspace:
        workspace.apply_prices()
        settings = workspace.settings
        security = arrange(
            workspace.store.folder,
            proxies=settings.trusted_proxies,
            origins=settings.cors_origins,
            certificate=tls_cert,
            key=tls_key,
            admin=admin,
            admin_address=admin_address,
            admin_token=settings.admin_token,
        )
        greeting = workspace.greeting

        def ready(address: str) -> None:
            if link.starts == 0:
                told, lines = greet(security, address, host, workspace.store.folder)
                told = {"address": address, "docs": f"{address}/docs", **told}
                shell.emit(told, *greeting(address), *lines)

        run(
            workspace,
            host=host,
            port=port,
            on_ready=ready,
            memory=size,
            link=link,
            security=security,
        )


def _supervise(host: str, port: int) -> int:
    """Takes the port, which is told when it is not free, and keeps the server behind it."""
    from feilun.serving.ports import bind
    from feilun.serving.supervisor import supervise

    with bind(host, port) as listening:
        return supervise(listening, [sys.executable, "-m", "feilun", *sys.argv[1:]])


@contextmanager
def _console(shell: Shell, port: int) -> Iterator[None]:
    """The console in a process of its own, on loopback, as long as the server is kept."""
    words = [sys.executable, "-m", "feilun", "console", "--no-api", "--no-browser"]
    words += ["--port", str(port)]
    words += ["--workspace", str(shell.folder)] if shell.folder else []
    # With --json stdout holds the server's one object.
    child = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=sys.stderr if shell.json else None
    )
    try:
        yield
    finally:
        child.terminate()
        child.wait()
