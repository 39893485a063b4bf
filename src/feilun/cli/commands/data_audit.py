"""``feilun data audit``: a look at the rows before anything is trained on them."""

from __future__ import annotations

from feilun.cli.shell import Shell


def command(shell: Shell) -> None:
    with shell.project() as project:
        shell.show(project.audit())
