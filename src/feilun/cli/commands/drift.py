"""``feilun drift``: whether inputs and answers are still like those the live version knows."""

from __future__ import annotations

from feilun.cli.shell import Shell


def command(shell: Shell) -> None:
    with shell.project() as project:
        shell.show(project.drift())
