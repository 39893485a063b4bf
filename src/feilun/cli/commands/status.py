"""``feilun status``: what is live, what is running and how far, which servers answer."""

from __future__ import annotations

from feilun.cli.shell import Shell


def command(shell: Shell) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.status(shell.project_name))
