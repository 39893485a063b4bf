"""``feilun audit list``: the newest administrative acts, and who did them."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    limit: Annotated[int, typer.Option("--limit", min=1, help=t("cli.option_acts"))] = 50,
    action: Annotated[str | None, typer.Option("--action", help=t("cli.option_action"))] = None,
) -> None:
    with shell.workspace() as workspace:
        shell.show(workspace.acts.list(limit, action=action))
