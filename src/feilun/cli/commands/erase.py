"""Erasing a person."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["erase"]


def erase(
    shell: Shell,
    texts: Annotated[list[str] | None, typer.Argument(help=t("erase.argument_texts"))] = None,
    *,
    rows: Annotated[list[str] | None, typer.Option("--row", help=t("erase.option_row"))] = None,
    subjects: Annotated[
        list[str] | None, typer.Option("--subject", help=t("erase.option_subject"))
    ] = None,
    calls: Annotated[list[str] | None, typer.Option("--call", help=t("erase.option_call"))] = None,
    keep_out: Annotated[
        bool, typer.Option("--keep-out/--let-in", help=t("erase.option_keep_out"))
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", help=t("erase.option_yes"))] = False,
    go_on: Annotated[str | None, typer.Option("--go-on", help=t("erase.option_go_on"))] = None,
) -> None:
    """Erases a person from rows, kept calls and feedback; without ``--yes`` it only tells."""
    from feilun.project.erasing import finish

    with shell.workspace() as workspace:
        if go_on is not None:
            shell.show(finish(workspace.scope, go_on))
            return
        shell.show(
            workspace.erase(
                *(texts or ()),
                rows=rows or (),
                subjects=subjects or (),
                calls=calls or (),
                project=shell.project_name,
                dry_run=not yes,
                keep_out=keep_out,
            )
        )
