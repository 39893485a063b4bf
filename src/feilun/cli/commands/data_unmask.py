"""``feilun data unmask``: turns the reversible masks in a file back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    file: Annotated[Path, typer.Argument(help=t("clean.argument_masked"))],
    out: Annotated[Path | None, typer.Option("--out", help=t("clean.option_out"))] = None,
) -> None:
    with shell.project() as project:
        found = project.unmask(file, out)
        shell.emit(found, t("clean.unmasked", **found))
