"""``feilun rollback``: the version that was live before answers again, at once."""

from __future__ import annotations

from feilun.cli.shell import Shell


def command(shell: Shell) -> None:
    with shell.project() as project:
        shell.show(project.rollback())
