"""``feilun data fetch``: pages of the web from a list, as JSON lines that ``data add`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    urls: Annotated[Path, typer.Argument(help=t("web.argument_urls"))],
    out: Annotated[Path, typer.Option("--out", help=t("web.option_out"))],
    contact: Annotated[str, typer.Option("--contact", help=t("web.option_contact"))] = "",
    delay: Annotated[float, typer.Option("--delay", min=0.1, help=t("web.option_delay"))] = 1.0,
    max_bytes: Annotated[
        int, typer.Option("--max-bytes", min=1000, max=64 << 20, help=t("web.option_bytes"))
    ] = 5 << 20,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=600, help=t("web.option_seconds"))
    ] = 30,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help=t("web.option_private"))
    ] = False,
) -> None:
    from feilun.data.web import fetch

    with shell.progress() as report:
        fetched = fetch(
            urls,
            out,
            contact=contact,
            delay=delay,
            max_bytes=max_bytes,
            seconds=seconds,
            private=("0.0.0.0/0", "::/0") if allow_private else (),
            report=report,
        )
    shell.show(fetched)
