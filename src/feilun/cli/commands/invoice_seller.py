"""``feilun invoice seller``: who sells, as every later invoice says it."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
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
