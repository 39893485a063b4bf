"""``feilun audit head``: the end of the chain, to be kept where nobody can change it."""

from __future__ import annotations

from feilun.cli.shell import Shell


def command(shell: Shell) -> None:
    with shell.workspace() as workspace:
        head = workspace.acts.head()
        shell.emit({"head": head}, head)
