"""``feilun feedback add``: corrections from a file (prediction_id, index, label)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    file: Annotated[Path, typer.Argument(help=t("cli.argument_feedback"))],
) -> None:
    with shell.project() as project:
        shell.show(project.add_feedback(file))
