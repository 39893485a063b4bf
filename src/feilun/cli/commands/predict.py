"""``feilun predict``: answers in this process, unmetered; with ``--url`` and a key, metered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    items: Annotated[list[str], typer.Argument(help=t("cli.argument_items"))],
    model: Annotated[str | None, typer.Option("--model", help=t("cli.option_model"))] = None,
    url: Annotated[str | None, typer.Option("--url", help=t("cli.option_url"))] = None,
    key: Annotated[str | None, typer.Option("--key", help=t("cli.option_key"))] = None,
    all_scores: Annotated[
        bool, typer.Option("--all-scores", help=t("cli.option_all_scores"))
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help=t("cli.option_explain"))] = False,
) -> None:
    from feilun.project.answers import is_export, predict_folder

    if model is not None and url is None and is_export(model):
        shell.show(predict_folder(Path(model), items, all_scores, explain))
        return
    with shell.project() as project:
        result = project.predict_files(
            items, model=model, url=url, key=key, all_scores=all_scores, explain=explain
        )
    shell.show(result)
