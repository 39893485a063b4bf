"""Two versions' answers before people, at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from feilun.cli.commands.review import read_key, shown
from feilun.cli.shell import Shell
from feilun.errors import UsageError
from feilun.messages import t

if TYPE_CHECKING:
    from feilun.project.preference import PairItem

__all__ = ["preference_judge", "preference_say", "preference_start", "preference_status"]

_ME = "terminal"


def preference_start(
    shell: Shell,
    model: Annotated[str | None, typer.Argument(help=t("cli.argument_model"))] = None,
    against: Annotated[
        str | None, typer.Option("--against", help=t("preference.option_against"))
    ] = None,
    rows: Annotated[int, typer.Option("--rows", help=t("preference.option_rows"))] = 100,
    prompts: Annotated[
        str | None, typer.Option("--prompts", help=t("preference.option_prompts"))
    ] = None,
    people: Annotated[int, typer.Option("--people", help=t("preference.option_people"))] = 1,
) -> None:
    """Has two versions answer the same prompts."""
    with shell.project() as project:
        begun = project.preference.start(model, against, rows=rows, prompts=prompts, people=people)
        shell.show(begun)


def preference_judge(
    shell: Shell,
    who: Annotated[str, typer.Option("--who", help=t("preference.option_who"))] = _ME,
) -> None:
    """Walks the pairs, a key a choice."""
    with shell.project() as project:
        pairs = list(project.preference.queue(who))
        if shell.json:
            rows = [
                {"pair": one.pair, "prompt": shown(one.prompt), "a": one.a, "b": one.b}
                for one in pairs
            ]
            shell.emit({"pairs": rows})
            return
        if not pairs:
            shell.emit(None, t("preference.empty"))
            return
        if not sys.stdin.isatty():
            raise UsageError("preference.needs_terminal")
        judged = _walk(pairs)
        shell.emit(None, t("preference.done", judged=judged, shown=len(pairs)))


def preference_status(shell: Shell) -> None:
    """Who wins, and how far people agree."""
    with shell.project() as project:
        shell.show(project.preference.state())


def preference_say(
    shell: Shell,
    pair: Annotated[int, typer.Argument(help=t("preference.argument_pair"))],
    choice: Annotated[str, typer.Argument(help=t("preference.argument_choice"))],
    who: Annotated[str, typer.Option("--who", help=t("preference.option_who"))] = _ME,
) -> None:
    """Keeps one choice."""
    with shell.project() as project:
        project.preference.say(pair, choice, who)
    said = t("preference.said", pair=pair, choice=choice)
    shell.emit({"pair": pair, "choice": choice}, said)


def _walk(pairs: Sequence[PairItem]) -> int:
    """Shows one pair after the other; returns how many were judged."""
    from rich.console import Console

    from feilun.project.preference import CHOICES

    console = Console(highlight=False)
    choices = dict(zip("1234", CHOICES, strict=True))
    done: set[int] = set()
    place = 0
    while place < len(pairs):
        one = pairs[place]
        console.rule(f"{place + 1}/{len(pairs)}", align="left")
        console.print(shown(one.shown()), markup=False)
        for name, text in (("A", one.a), ("B", one.b)):
            console.print(f"[{name}] {text}", style="cyan", markup=False)
        console.print(t("preference.keys"), style="dim", markup=False)
        key = read_key()
        while key not in {*choices, *"qsu\x1b"} or (key == "u" and not place):
            key = read_key()
        if key in ("q", "\x1b"):
            break
        if key == "u":
            place -= 1
            pairs[place].undo()
            done.discard(place)
            continue
        if key in choices:
            one.choose(choices[key])
            done.add(place)
        place += 1
    return len(done)
