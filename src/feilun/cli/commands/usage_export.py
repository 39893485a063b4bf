"""``feilun usage export``: what is owed, as CloudEvents for the meters of others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

_FORMS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def command(
    shell: Shell,
    file: Annotated[Path, typer.Argument(help=t("cli.argument_events_file"))],
    format: Annotated[
        Literal["cloudevents"], typer.Option("--format", help=t("cli.option_events_format"))
    ] = "cloudevents",
    since: Annotated[
        datetime | None,
        typer.Option("--since", formats=_FORMS, help=t("cli.option_events_since")),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", formats=_FORMS, help=t("cli.option_events_until")),
    ] = None,
) -> None:
    with shell.workspace() as workspace:
        count = workspace.invoices.export_usage(
            file,
            since=since and since.replace(tzinfo=UTC),
            until=until and until.replace(tzinfo=UTC),
        )
        said = t("billing.events_written", count=count, file=file)
        shell.emit({"format": format, "events": count, "file": str(file)}, said)
