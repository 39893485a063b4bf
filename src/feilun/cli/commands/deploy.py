"""``feilun deploy``: puts a version live when the gate and the golden requests agree."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    model: Annotated[str | None, typer.Argument(help=t("cli.argument_model"))] = None,
    force: Annotated[bool, typer.Option("--force", help=t("cli.option_force"))] = False,
    reason: Annotated[str | None, typer.Option("--reason", help=t("cli.option_reason"))] = None,
    canary: Annotated[float | None, typer.Option("--canary", help=t("cli.option_canary"))] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help=t("cli.option_shadow"))] = False,
) -> None:
    with shell.project() as project, shell.progress() as report:
        result = project.deploy(
            model, force=force, reason=reason, canary=canary, shadow=shadow, report=report
        )
    shell.show(result)
