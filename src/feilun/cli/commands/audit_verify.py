"""``feilun audit verify``: reads the chain of administrative acts again, from its beginning."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    head: Annotated[str | None, typer.Option("--head", help=t("cli.option_head"))] = None,
) -> None:
    with shell.workspace() as workspace:
        acts = workspace.acts.verify(head)
        shell.emit({"acts": acts, "whole": True}, t("cli.acts_whole", acts=acts))
