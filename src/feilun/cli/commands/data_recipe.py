"""``feilun data recipe``: what the rows went through, and what later rows will go through."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    toml: Annotated[bool, typer.Option("--toml", help=t("clean.option_toml"))] = False,
) -> None:
    with shell.project() as project:
        if toml:
            text = project.recipe_toml()
            shell.emit({"toml": text}, text.rstrip())
        else:
            shell.show(project.recipe())
