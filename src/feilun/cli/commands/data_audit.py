"""``feilun data audit``: what is wrong with the rows, what it costs, and what mends it."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.cli.values import pairs
from feilun.messages import t


def command(
    shell: Shell,
    files: Annotated[list[str] | None, typer.Argument(help=t("audit.argument_files"))] = None,
    map_: Annotated[list[str] | None, typer.Option("--map", help=t("cli.option_map"))] = None,
    query: Annotated[str | None, typer.Option("--query", help=t("cli.option_query"))] = None,
    quick: Annotated[bool, typer.Option("--quick", help=t("audit.option_quick"))] = False,
) -> None:
    with shell.project() as project, shell.progress() as report:
        found = project.audit(
            *(files or ()), columns=pairs("--map", map_), query=query, quick=quick, report=report
        )
    shell.show(found)
