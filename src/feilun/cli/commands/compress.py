"""``feilun compress``: builds and measures the variants of a version and chooses one."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    model: Annotated[str | None, typer.Argument(help=t("cli.argument_model"))] = None,
) -> None:
    with shell.project() as project, shell.progress() as report:
        result = project.compress(model, report=report)
    shell.show(result)
