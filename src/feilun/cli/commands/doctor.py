"""``feilun doctor``: checks the installation and the workspace, and says what to fix."""

from __future__ import annotations

import typer

from feilun.cli.shell import Shell


def command(shell: Shell) -> None:
    with shell.workspace() as workspace:
        result = workspace.doctor()
    shell.show(result)
    if not result.ok:
        raise typer.Exit(3)
