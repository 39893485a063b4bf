"""``feilun keys revoke``: a key stops working, at once."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    prefix: Annotated[str, typer.Argument(help=t("cli.argument_prefix"))],
) -> None:
    with shell.workspace() as workspace:
        workspace.revoke_key(prefix)
        shell.emit({"revoked": prefix}, t("cli.revoked", prefix=prefix))
