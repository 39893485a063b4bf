"""``feilun evaluate``: judges a version on the test rows, or on the labelled rows of a file."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    model: Annotated[str | None, typer.Argument(help=t("cli.argument_model"))] = None,
    on: Annotated[str | None, typer.Option("--on", help=t("cli.option_on"))] = None,
) -> None:
    with shell.project() as project, shell.progress() as report:
        result = project.evaluate(model, on=on, report=report)
    shell.show(result)
