"""Labels given at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from feilun.cli.shell import Shell
from feilun.errors import FeilunError, UsageError
from feilun.messages import t

if TYPE_CHECKING:
    from rich.console import Console

    from feilun.project.review import ReviewItem

__all__ = ["review"]


_KEYS = "1234567890abcdefghijklmoprtvwxyz"  # without n, q, s, u: new label, quit, skip, undo


def review(
    shell: Shell,
    limit: Annotated[int, typer.Option("--limit", min=1, help=t("cli.option_limit"))] = 100,
    drawn: Annotated[bool, typer.Option("--random", help=t("review.option_random"))] = False,
) -> None:
    """Walks the most useful answers, one key a label."""
    with shell.project() as project:
        queue = list(project.review(limit, drawn_only=drawn))
        if shell.json:
            rows = [
                {
                    "prediction_id": item.prediction.prediction_id,
                    "index": item.prediction.index,
                    "input": _shown(item.prediction.input),
                    "label": item.prediction.label,
                    "score": item.prediction.score,
                    "why": item.why,
                    "note": item.note,
                    "said": item.said,
                }
                for item in queue
            ]
            shell.emit({"queue": rows})
            return
        if not queue:
            shell.emit(None, t("cli.review_empty"))
            return
        if not sys.stdin.isatty():
            raise UsageError("cli.review_needs_terminal")
        model = project.live or project.model()
        labels = _labels(project, model.record)
        done = _walk(queue, labels)
        shell.emit(None, t("cli.review_done", labelled=done, shown=len(queue)))


def _labels(project: object, record: object) -> list[str]:
    from feilun.engines.card import read_card
    from feilun.project import Project
    from feilun.store.records import ModelVersion

    assert isinstance(project, Project)
    assert isinstance(record, ModelVersion)
    artifact = record.artifact()
    assert artifact is not None
    folder = project.workspace.store.artifacts.path(artifact)
    return list(read_card(folder).schema.labels)


def _walk(queue: Sequence[ReviewItem], labels: Sequence[str]) -> int:
    """Shows one after the other; returns how many were labelled."""
    from rich.console import Console

    console = Console(highlight=False)
    choices = dict(zip(_KEYS, labels, strict=False))
    labelled: dict[int, str] = {}
    place = 0
    while place < len(queue):
        item = queue[place]
        row = item.prediction
        console.rule(f"{place + 1}/{len(queue)}", align="left")
        if item.note:
            console.print(item.note, style="yellow", markup=False)
        console.print(_shown(row.input), markup=False)
        console.print(
            t("cli.review_answer", label=row.label, score=row.score), style="cyan", markup=False
        )
        menu = "  ".join(f"[{key}] {label}" for key, label in choices.items())
        console.print(menu + "  " + t("cli.review_keys"), style="dim", markup=False)
        key = _key()
        while key not in {*choices, *"qsnu\x1b\r\n"} or (key == "u" and not place):
            key = _key()
        if key in ("q", "\x1b"):
            break
        if key == "u":
            place -= 1
            if labelled.pop(place, None) is not None and not queue[place].undo():
                console.print(t("cli.review_not_undone"), style="yellow", markup=False)
            continue
        if key != "s":
            try:
                label = _chosen(console, key, choices, row.label)
                if not label:
                    continue
                item.label(label)
                labelled[place] = label
                console.print(f"→ {label}", style="green", markup=False)
            except FeilunError as error:  # such as an input that expired meanwhile
                console.print(error.message(), style="yellow", markup=False)
            except (EOFError, KeyboardInterrupt):
                break
        place += 1
    return len(labelled)


def _chosen(
    console: Console, key: str, choices: Mapping[str, str], answered: str | None
) -> str | None:
    """The label that a key stands for; asked for where it is a new one."""
    if key == "n":
        return console.input(t("cli.review_new")).strip() or None
    return answered if key in ("\r", "\n") else choices[key]


def _key() -> str:
    """The next key; Ctrl-C and Ctrl-D end the walk, and what was labelled is kept."""
    try:
        return typer.getchar()
    except (EOFError, KeyboardInterrupt):
        return "q"


def _shown(item: object) -> str:
    return t("project.bytes", count=len(item)) if isinstance(item, bytes) else str(item)
