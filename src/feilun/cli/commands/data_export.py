"""``feilun data export``: rows for a labelling tool or a spreadsheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    file: Annotated[Path, typer.Argument(help=t("formats.argument_file"))],
    format_: Annotated[
        str | None, typer.Option("--format", help=t("formats.option_format"))
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help=t("formats.option_split"))] = None,
    only: Annotated[Path | None, typer.Option("--only", help=t("formats.option_only"))] = None,
) -> None:
    with shell.project() as project:
        shell.show(project.export_data(file, format=format_, split=split, only=only))
