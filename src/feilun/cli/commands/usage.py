"""What customers used."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["upstream", "usage", "usage_export"]


def usage(
    shell: Shell,
    customer: Annotated[
        str | None, typer.Option("--customer", help=t("cli.option_customer"))
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help=t("cli.option_usage_days"))] = 30,
) -> None:
    """What customers used, owe and cost, from the ledger."""
    with shell.workspace() as workspace:
        shell.show(workspace.usage(customer=customer, project=shell.project_name, days=days))


def upstream(
    shell: Shell,
    days: Annotated[int, typer.Option("--days", min=1, help=t("cli.option_usage_days"))] = 30,
    raise_: Annotated[bool, typer.Option("--raise", help=t("cli.option_raise"))] = False,
) -> None:
    """What passing calls on costs, and what answering them here saves."""
    with shell.project() as project:
        if raise_:
            with shell.progress() as report:
                shell.show(project.raise_share(report=report))
            return
        shell.show(project.upstream(days))


_FORMS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def usage_export(
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
    """What is owed, as CloudEvents for the meters of others."""
    with shell.workspace() as workspace:
        count = workspace.invoices.export_usage(
            file,
            since=since and since.replace(tzinfo=UTC),
            until=until and until.replace(tzinfo=UTC),
        )
        said = t("billing.events_written", count=count, file=file)
        shell.emit({"format": format, "events": count, "file": str(file)}, said)
