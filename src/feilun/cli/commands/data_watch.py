"""``feilun data watch``: files that arrive in a folder are added, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.cli.values import pairs
from feilun.messages import t


def command(
    shell: Shell,
    folder: Annotated[Path, typer.Argument(help=t("watch.argument_folder"))],
    every: Annotated[
        float, typer.Option("--every", min=1, max=86_400, help=t("watch.option_every"))
    ] = 60,
    once: Annotated[bool, typer.Option("--once", help=t("watch.option_once"))] = False,
    map_: Annotated[list[str] | None, typer.Option("--map", help=t("cli.option_map"))] = None,
    split: Annotated[str, typer.Option("--split", help=t("cli.option_split"))] = "auto",
) -> None:
    with shell.project() as project:
        done = project.watch(
            folder,
            every=every,
            once=once,
            columns=pairs("--map", map_),
            split=split,
            say=shell.say,
        )
    shell.show(done)
