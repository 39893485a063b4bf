"""``feilun customers list``: the customers, and what they used this month."""

from __future__ import annotations

from feilun.cli.shell import Shell


def command(shell: Shell) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.customers.all())
