"""Options that several commands share, each group declared once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from feilun.messages import t

__all__ = ["Details", "Limits", "Options", "Reading"]


class Options(dict[str, Any]):
    """Those options of a group that were given. A command takes a group as one parameter;
    `feilun.cli.shell.bind` puts the options that the class declares in its place."""


class Limits(Options):
    """What a customer or a key may use."""

    rate: Annotated[float | None, typer.Option("--rate", help=t("cli.option_rate"))]
    burst: Annotated[int | None, typer.Option("--burst", help=t("cli.option_burst"))]
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help=t("cli.option_concurrency"))
    ]
    monthly_inputs: Annotated[
        int | None, typer.Option("--monthly-inputs", help=t("cli.option_monthly_inputs"))
    ]
    monthly_budget: Annotated[
        str | None, typer.Option("--monthly-budget", help=t("cli.option_monthly_budget"))
    ]
    warn_at: Annotated[str | None, typer.Option("--warn-at", help=t("cli.option_warn_at"))]
    prepaid: Annotated[
        bool | None, typer.Option("--prepaid/--no-prepaid", help=t("cli.option_prepaid"))
    ]


class Details(Options):
    """What an invoice says of a customer."""

    legal_name: Annotated[str | None, typer.Option("--legal-name", help=t("cli.option_legal_name"))]
    address: Annotated[str | None, typer.Option("--address", help=t("cli.option_address"))]
    tax_id: Annotated[str | None, typer.Option("--tax-id", help=t("cli.option_tax_id"))]
    tax_rate: Annotated[str | None, typer.Option("--tax-rate", help=t("cli.option_tax_rate"))]
    language: Annotated[
        str | None, typer.Option("--language", help=t("cli.option_invoice_language"))
    ]


class Reading(Options):
    """How files are written, where it is not found out from their content."""

    encoding: Annotated[str | None, typer.Option("--encoding", help=t("formats.option_encoding"))]
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help=t("formats.option_delimiter"))
    ]
    header_row: Annotated[
        int | None, typer.Option("--header-row", min=1, help=t("formats.option_header_row"))
    ]
    sheet: Annotated[str | None, typer.Option("--sheet", help=t("formats.option_sheet"))]
    day_first: Annotated[
        bool | None,
        typer.Option("--day-first/--month-first", help=t("formats.option_day_first")),
    ]
