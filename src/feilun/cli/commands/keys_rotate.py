"""``feilun keys rotate``: a new key in place of one, which works a while longer."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.cli.values import duration
from feilun.messages import t


def command(
    shell: Shell,
    key: Annotated[str, typer.Argument(help=t("cli.argument_prefix"))],
    overlap: Annotated[str, typer.Option("--overlap", help=t("cli.option_overlap"))] = "24h",
) -> None:
    span = duration("--overlap", overlap)
    with shell.workspace() as workspace:
        shell.show(workspace.rotate_key(key, overlap=span))
