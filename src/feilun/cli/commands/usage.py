"""What customers used."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["calls", "upstream", "usage", "usage_export"]


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


def calls(
    shell: Shell,
    id: Annotated[str | None, typer.Argument(help=t("cli.argument_call"))] = None,
    customer: Annotated[
        str | None, typer.Option("--customer", help=t("cli.option_customer"))
    ] = None,
    version: Annotated[
        str | None, typer.Option("--model", help=t("cli.option_call_version"))
    ] = None,
    period: Annotated[str | None, typer.Option("--period", help=t("cli.option_period"))] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help=t("cli.option_call_limit"))] = 50,
) -> None:
    """Calls from the ledger, the newest first; with an id one call and its answers."""
    with shell.workspace() as workspace:
        if id is not None:
            shell.show(workspace.call(id))
            return
        shell.show(
            workspace.calls(
                customer=customer,
                project=shell.project_name,
                version=version,
                period=period,
                limit=limit,
            )
        )


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
