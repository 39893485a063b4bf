"""``feilun data corpus``: the rows without labels, and some of them in a file for labelling."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    name: Annotated[str | None, typer.Argument(help=t("corpus.argument_name"))] = None,
    out: Annotated[Path | None, typer.Option("--out", help=t("corpus.option_out"))] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help=t("corpus.option_rows"))] = 200,
    format_: Annotated[
        str | None, typer.Option("--format", help=t("formats.option_format"))
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help=t("corpus.option_seed"))] = 0,
) -> None:
    from feilun.project import corpus

    with shell.project() as project:
        if out is None:
            shell.show(corpus.listing(project))
            return
        done = corpus.sample(project, out, name=name, rows=rows, seed=seed, format=format_)
    shell.emit(asdict(done), t("corpus.written", rows=done.rows, file=done.file))
