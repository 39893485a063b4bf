"""Runs beside one another."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["runs_compare"]


def runs_compare(
    shell: Shell,
    runs: Annotated[list[str], typer.Argument(help=t("runs.argument_runs"))],
    baseline: Annotated[
        str | None, typer.Option("--baseline", help=t("runs.option_baseline"))
    ] = None,
    pin: Annotated[bool, typer.Option("--pin", help=t("runs.option_pin"))] = False,
) -> None:
    """Compares runs with a baseline: time, scores, settings that differ."""
    with shell.project() as project:
        found = project.compare_runs(*runs, baseline=baseline)
        if pin:
            project.pin_run(found.baseline)
    shell.show(found)
