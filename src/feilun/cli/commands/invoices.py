"""Invoices, and what changes them afterwards: credits and rerated months."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import Language, t

__all__ = [
    "credit",
    "invoice_close",
    "invoice_export",
    "invoice_list",
    "invoice_preview",
    "invoice_seller",
    "invoice_show",
    "rerate",
]


def invoice_close(
    shell: Shell,
    month: Annotated[str, typer.Argument(help=t("cli.argument_month"))],
    customer: Annotated[
        str | None, typer.Option("--customer", help=t("cli.option_customer"))
    ] = None,
    tax: Annotated[str | None, typer.Option("--tax", help=t("cli.option_tax"))] = None,
    check: Annotated[bool, typer.Option("--check", help=t("cli.option_invoice_check"))] = False,
) -> None:
    """A finished month becomes invoices that never change."""
    with shell.workspace() as workspace:
        shell.show(workspace.invoices.close(month, customer=customer, tax=tax, check=check))


def invoice_export(
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
    """An invoice as a page to print, as JSON, or as CSV."""
    with shell.workspace() as workspace:
        made = workspace.invoices.export(number, file, format=format, lang=lang)
        said = t("billing.invoice_written", number=number, file=made)
        shell.emit({"number": number, "file": str(made)}, said)


def invoice_list(
    shell: Shell,
    customer: Annotated[
        str | None, typer.Option("--customer", help=t("cli.option_customer"))
    ] = None,
    month: Annotated[str | None, typer.Option("--month", help=t("cli.argument_month"))] = None,
) -> None:
    """The invoices there are."""
    with shell.workspace() as workspace:
        shell.show(workspace.invoices.list(customer=customer, month=month))


def invoice_preview(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
    month: Annotated[
        str | None, typer.Option("--month", help=t("cli.option_preview_month"))
    ] = None,
    tax: Annotated[str | None, typer.Option("--tax", help=t("cli.option_tax"))] = None,
) -> None:
    """What a customer's invoice would say now, before its month is closed."""
    with shell.workspace() as workspace:
        shell.show(workspace.invoices.preview(customer, month=month, tax=tax))


def invoice_seller(
    shell: Shell,
    legal_name: Annotated[
        str | None, typer.Option("--legal-name", help=t("cli.option_seller_name"))
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", help=t("cli.option_seller_address"))
    ] = None,
    tax_id: Annotated[str | None, typer.Option("--tax-id", help=t("cli.option_seller_tax"))] = None,
    note: Annotated[str | None, typer.Option("--note", help=t("cli.option_seller_note"))] = None,
    payment_days: Annotated[
        int | None, typer.Option("--payment-days", help=t("cli.option_payment_days"))
    ] = None,
) -> None:
    """Who sells, as every later invoice says it."""
    with shell.workspace() as workspace:
        seller = workspace.invoices.seller(
            legal_name=legal_name,
            # A shell's line has no line breaks; an address does.
            address=address and address.replace("\\n", "\n"),
            tax_id=tax_id,
            note=note and note.replace("\\n", "\n"),
            payment_days=payment_days,
        )
        shown = [f"{name}: {value}" for name, value in seller.items() if value not in (None, "")]
        shell.emit(seller, *shown)


def invoice_show(
    shell: Shell,
    number: Annotated[str, typer.Argument(help=t("cli.argument_invoice"))],
    check: Annotated[bool, typer.Option("--check", help=t("cli.option_invoice_check"))] = False,
) -> None:
    """One invoice; with ``--json`` its whole document."""
    with shell.workspace() as workspace:
        shell.show(workspace.invoices.show(number, check=check))


def credit(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
    amount: Annotated[str, typer.Argument(help=t("cli.argument_amount"))],
    reason: Annotated[str, typer.Option("--reason", help=t("cli.option_credit_reason"))],
    currency: Annotated[
        str | None, typer.Option("--currency", help=t("cli.option_currency"))
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help=t("cli.option_reference"))
    ] = None,
) -> None:
    """Gives a customer money back, with a reason, on the current month's invoice."""
    with shell.workspace() as workspace:
        shell.show(
            workspace.invoices.credit(
                customer, amount, reason, currency=currency, reference=reference
            )
        )


def rerate(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_customer"))],
    month: Annotated[str, typer.Argument(help=t("cli.argument_month"))],
    version: Annotated[int, typer.Option("--plan-version", help=t("cli.option_plan_version"))],
    yes: Annotated[bool, typer.Option("--yes", help=t("cli.option_rerate_yes"))] = False,
) -> None:
    """What a closed month costs by another price; the difference is charged or given
    back in the current month, only with ``--yes``."""
    with shell.workspace() as workspace:
        shell.show(workspace.invoices.rerate(customer, month, version, write=yes))
