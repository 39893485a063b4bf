"""Corrections of answers, and whether answers still fit the data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.errors import UsageError
from feilun.messages import t

__all__ = ["drift", "feedback_add", "feedback_pairs", "feedback_settle", "feedback_status"]


def feedback_add(
    shell: Shell,
    file: Annotated[Path, typer.Argument(help=t("cli.argument_feedback"))],
) -> None:
    """Corrections from a file (prediction_id, index, label, rejected, note)."""
    with shell.project() as project:
        shell.show(project.add_feedback(file))


def feedback_pairs(
    shell: Shell,
    file: Annotated[Path, typer.Argument(help=t("cli.argument_pairs"))],
) -> None:
    """Corrections as pairs of a better and a worse answer."""
    with shell.project() as project:
        shell.show(project.write_pairs(file))


def feedback_settle(
    shell: Shell,
    customer: Annotated[str, typer.Argument(help=t("cli.argument_settle"))],
    accept: Annotated[bool, typer.Option("--accept", help=t("cli.option_accept"))] = False,
    discard: Annotated[bool, typer.Option("--discard", help=t("cli.option_discard"))] = False,
) -> None:
    """What was held back of one customer counts, or never will."""
    if accept == discard:
        raise UsageError("review.choose")
    with shell.project() as project:
        shell.show(project.settle(customer, accept=accept))


def feedback_status(shell: Shell) -> None:
    """How many answers people accepted, edited and rejected, and why."""
    with shell.project() as project:
        shell.show(project.reviews())


def drift(shell: Shell) -> None:
    """Whether inputs and answers are still like those the live version knows."""
    with shell.project() as project:
        shell.show(project.drift())
