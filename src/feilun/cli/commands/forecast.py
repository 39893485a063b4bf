"""``feilun forecast``: how many more labels a gain, or a target, would take."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    model: Annotated[str | None, typer.Argument(help=t("cli.argument_model"))] = None,
    gain: Annotated[float | None, typer.Option("--gain", help=t("cli.option_gain"))] = None,
    target: Annotated[float | None, typer.Option("--target", help=t("cli.option_target"))] = None,
) -> None:
    with shell.project() as project, shell.progress() as report:
        result = project.forecast(model, gain=gain, target=target, report=report)
    shell.show(result)
