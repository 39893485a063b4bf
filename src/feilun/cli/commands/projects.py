"""Projects as a whole: put away and taken back."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["project_archive", "project_restore"]


def project_archive(
    shell: Shell,
    name: Annotated[str, typer.Argument(help=t("cli.argument_archive"))],
) -> None:
    """Puts a project away: it answers no more and is not listed; nothing is deleted."""
    with shell.workspace() as workspace:
        shell.show(workspace.archive(name))


def project_restore(
    shell: Shell,
    name: Annotated[str, typer.Argument(help=t("cli.argument_archived"))],
) -> None:
    """Takes an archived project back."""
    with shell.workspace() as workspace:
        shell.show(workspace.unarchive(name))
