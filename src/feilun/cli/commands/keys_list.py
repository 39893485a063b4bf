"""``feilun keys list``: the keys, by their visible beginning."""

from __future__ import annotations

from feilun.cli.shell import Shell


def command(shell: Shell) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.keys())
