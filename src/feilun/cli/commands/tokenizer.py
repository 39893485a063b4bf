"""Tokenizers trained on one's own text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.options import Reading
from feilun.cli.shell import Shell
from feilun.cli.values import pairs
from feilun.messages import t

__all__ = ["tokenizer_train"]


def tokenizer_train(
    shell: Shell,
    files: Annotated[list[str], typer.Argument(help=t("tokenizer.argument_files"))],
    *,
    out: Annotated[Path, typer.Option("--out", help=t("tokenizer.option_out"))],
    kind: Annotated[str, typer.Option("--kind", help=t("tokenizer.option_kind"))] = "bpe",
    vocabulary: Annotated[
        int, typer.Option("--vocabulary", help=t("tokenizer.option_vocabulary"))
    ] = 16_000,
    base: Annotated[str | None, typer.Option("--base", help=t("tokenizer.option_base"))] = None,
    map_: Annotated[list[str] | None, typer.Option("--map", help=t("cli.option_map"))] = None,
    query: Annotated[str | None, typer.Option("--query", help=t("cli.option_query"))] = None,
    reading: Reading,
) -> None:
    """A tokenizer of one's own, and what it gains over a base's."""
    with shell.workspace() as workspace, shell.progress() as report:
        made = workspace.train_tokenizer(
            *files,
            out=out,
            kind=kind,
            vocabulary=vocabulary,
            base=base,
            columns=pairs("--map", map_),
            query=query,
            report=report,
            **reading,
        )
    shell.show(made)
