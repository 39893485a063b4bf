"""``feilun restore``: a backup into an empty workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    source: Annotated[Path, typer.Argument(help=t("cli.argument_restore"))],
) -> None:
    from feilun.project import Workspace

    shell.show(Workspace.restore(source, shell.folder))
