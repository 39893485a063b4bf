"""``feilun ledger root``: one hash for each finished day, in files outside the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    to: Annotated[Path | None, typer.Option("--to", help=t("cli.option_roots"))] = None,
) -> None:
    from feilun.project.ledger_book import roots

    with shell.workspace() as workspace:
        shell.show(roots(workspace, to))
