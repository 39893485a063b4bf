"""``feilun feedback settle``: what was held back of one customer counts, or never will."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.errors import UsageError
from feilun.messages import t


def command(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_settle"))],
    accept: Annotated[bool, typer.Option("--accept", help=t("cli.option_accept"))] = False,
    discard: Annotated[bool, typer.Option("--discard", help=t("cli.option_discard"))] = False,
) -> None:
    if accept == discard:
        raise UsageError("review.choose")
    with shell.project() as project:
        shell.show(project.settle(customer, accept=accept))
