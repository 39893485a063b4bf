"""Labelling rows that have no labels yet; the console shows them one by one."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["label_collect", "label_say", "label_start", "label_status"]


def label_start(
    shell: Shell,
    label: Annotated[
        list[str] | None, typer.Option("--label", help=t("label.option_label"))
    ] = None,
    people: Annotated[int, typer.Option("--people", help=t("label.option_people"))] = 1,
    corpus: Annotated[str | None, typer.Option("--corpus", help=t("label.option_corpus"))] = None,
) -> None:
    """Begins to label a corpus, or changes its labels."""
    with shell.project() as project:
        shell.show(project.labelling.start(label or (), people=people, corpus=corpus))


def label_status(shell: Shell) -> None:
    """How far labelling has come, and how far people agree."""
    with shell.project() as project:
        shell.show(project.labelling.state())


def label_say(
    shell: Shell,
    row: Annotated[str, typer.Argument(help=t("label.argument_row"))],
    label: Annotated[str, typer.Argument(help=t("label.argument_label"))],
    who: Annotated[str | None, typer.Option("--who", help=t("label.option_who"))] = None,
) -> None:
    """Labels one row, or settles what people differ about."""
    with shell.project() as project:
        if who is None:
            project.labelling.decide(row, label)
        else:
            project.labelling.say(row, label, who)
    shell.emit({"row": row, "label": label}, t("label.said", row=row, label=label))


def label_collect(shell: Shell) -> None:
    """Adds the decided rows as data."""
    with shell.project() as project:
        shell.show(project.labelling.collect())
