"""Projects as a whole: renamed, put away, taken back, deleted."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["project_archive", "project_delete", "project_rename", "project_restore"]


def project_rename(
    shell: Shell,
    name: Annotated[str, typer.Argument(help=t("cli.argument_rename"))],
    new: Annotated[str, typer.Argument(help=t("cli.argument_rename_to"))],
) -> None:
    """Gives a project another name; the earlier one goes on finding it."""
    with shell.workspace() as workspace:
        shell.show(workspace.rename(name, new))


def project_delete(
    shell: Shell,
    name: Annotated[str, typer.Argument(help=t("cli.argument_delete"))],
    yes: Annotated[bool, typer.Option("--yes", help=t("cli.option_delete_yes"))] = False,
) -> None:
    """Deletes a project with its data and versions; what was billed stays."""
    from feilun.project.whole import delete

    with shell.workspace() as workspace:
        shell.show(delete(workspace.scope, name, sure=yes))


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
