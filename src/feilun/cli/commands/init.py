"""``feilun init``: a new project in the workspace."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t
from feilun.registry import names


def command(
    shell: Shell,
    name: Annotated[str, typer.Argument(help=t("cli.argument_name"))],
    task: Annotated[
        str, typer.Option("--task", help=t("cli.option_task", options=names("tasks")))
    ] = "text-classification",
    base: Annotated[str | None, typer.Option("--base", help=t("cli.option_base"))] = None,
) -> None:
    with shell.workspace() as workspace:
        project = workspace.init(name, task=task, base=base)
        shell.emit(
            {"project": name, "task": task, "file": project.file},
            t("cli.init_done", name=name, file=project.file),
            t("cli.init_next", name=name),
        )
