"""The audit log of administrative acts."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["audit_head", "audit_list", "audit_verify"]


def audit_head(shell: Shell) -> None:
    """The end of the chain, to be kept where nobody can change it."""
    with shell.workspace() as workspace:
        head = workspace.acts.head()
        shell.emit({"head": head}, head)


def audit_list(
    shell: Shell,
    limit: Annotated[int, typer.Option("--limit", min=1, help=t("cli.option_acts"))] = 50,
    action: Annotated[str | None, typer.Option("--action", help=t("cli.option_action"))] = None,
) -> None:
    """The newest administrative acts, and who did them."""
    with shell.workspace() as workspace:
        shell.show(workspace.acts.list(limit, action=action))


def audit_verify(
    shell: Shell,
    head: Annotated[str | None, typer.Option("--head", help=t("cli.option_head"))] = None,
) -> None:
    """Reads the chain of administrative acts again, from its beginning."""
    with shell.workspace() as workspace:
        acts = workspace.acts.verify(head)
        shell.emit({"acts": acts, "whole": True}, t("cli.acts_whole", acts=acts))
