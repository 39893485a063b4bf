"""``feilun customers add``: a new customer."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.cli.values import stated
from feilun.messages import t


def command(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
    plan: Annotated[str | None, typer.Option("--plan", help=t("cli.option_plan"))] = None,
    begin: Annotated[str | None, typer.Option("--from", help=t("cli.option_from"))] = None,
    rate: Annotated[float | None, typer.Option("--rate", help=t("cli.option_rate"))] = None,
    burst: Annotated[int | None, typer.Option("--burst", help=t("cli.option_burst"))] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help=t("cli.option_concurrency"))
    ] = None,
    monthly_inputs: Annotated[
        int | None, typer.Option("--monthly-inputs", help=t("cli.option_monthly_inputs"))
    ] = None,
    monthly_budget: Annotated[
        str | None, typer.Option("--monthly-budget", help=t("cli.option_monthly_budget"))
    ] = None,
    warn_at: Annotated[str | None, typer.Option("--warn-at", help=t("cli.option_warn_at"))] = None,
    legal_name: Annotated[
        str | None, typer.Option("--legal-name", help=t("cli.option_legal_name"))
    ] = None,
    address: Annotated[str | None, typer.Option("--address", help=t("cli.option_address"))] = None,
    tax_id: Annotated[str | None, typer.Option("--tax-id", help=t("cli.option_tax_id"))] = None,
    tax_rate: Annotated[
        str | None, typer.Option("--tax-rate", help=t("cli.option_tax_rate"))
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help=t("cli.option_invoice_language"))
    ] = None,
) -> None:
    from feilun.project.moments import moment_of

    limits = stated(
        rate=rate,
        burst=burst,
        concurrency=concurrency,
        monthly_inputs=monthly_inputs,
        monthly_budget=monthly_budget,
        warn_at=warn_at,
    )
    details = stated(
        legal_name=legal_name,
        address=address,
        tax_id=tax_id,
        tax_rate=tax_rate,
        language=language,
    )
    with shell.workspace() as workspace:
        shell.show(
            workspace.customers.add(
                customer,
                plan=plan,
                effective=moment_of(begin),
                limits=limits,
                details=details,
            )
        )
