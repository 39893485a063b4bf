"""``feilun worker``: runs scheduled updates and queued turns, one after the other."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    once: Annotated[bool, typer.Option("--once", help=t("cli.option_once"))] = False,
) -> None:
    with shell.workspace() as workspace:
        ran = workspace.work(once=once, say=shell.say)
    if shell.json:
        shell.show(ran)
