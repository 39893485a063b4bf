"""``feilun invoice export``: an invoice as a page to print, as JSON, or as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import Language, t


def command(
    shell: Shell,
    number: Annotated[str, typer.Argument(help=t("cli.argument_invoice"))],
    file: Annotated[Path, typer.Argument(help=t("cli.argument_invoice_file"))],
    format: Annotated[
        str | None, typer.Option("--format", help=t("cli.option_invoice_format"))
    ] = None,
    lang: Annotated[
        Language | None, typer.Option("--lang", help=t("cli.option_invoice_lang"))
    ] = None,
) -> None:
    with shell.workspace() as workspace:
        made = workspace.invoices.export(number, file, format=format, lang=lang)
        said = t("billing.invoice_written", number=number, file=made)
        shell.emit({"number": number, "file": str(made)}, said)
