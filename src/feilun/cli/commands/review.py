"""Answers accepted, put right and rejected at the terminal."""

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
    """Walks the most useful answers, one key a label; written ones are edited or rejected."""
    with shell.project() as project:
        queue = list(project.review(limit, drawn_only=drawn))
        if shell.json:
            rows = [
                {
                    "prediction_id": item.prediction.prediction_id,
                    "index": item.prediction.index,
                    "input": shown(item.prediction.input),
                    "label": item.prediction.label,
                    "score": item.prediction.score,
                    "why": item.why,
                    "note": item.note,
                    "said": item.said,
                    "faults": list(item.faults),
                }
                for item in queue
            ]
            shell.emit({"queue": rows})
            return
        if not queue:
            shell.emit(None, t("cli.review_none_drawn" if drawn else "cli.review_empty"))
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
    """Shows one after the other; returns how many were labelled or rejected."""
    from rich.console import Console

    console = Console(highlight=False)
    choices = dict(zip(_KEYS, labels, strict=False))
    done: set[int] = set()
    place = 0
    while place < len(queue):
        item = queue[place]
        console.rule(f"{place + 1}/{len(queue)}", align="left")
        _show(console, item, choices)
        keys = {*"qsu\x1b\r\n", *("ern" if item.faults else (*choices, "n"))}
        key = read_key()
        while key not in keys or (key == "u" and not place):
            key = read_key()
        if key in ("q", "\x1b"):
            break
        if key == "u":
            place -= 1
            if place in done and not queue[place].undo():
                console.print(t("cli.review_not_undone"), style="yellow", markup=False)
            done.discard(place)
            continue
        if key != "s":
            try:
                said = (_judge if item.faults else _label)(console, key, item, choices)
                if not said:
                    continue
                done.add(place)
                console.print(f"→ {said}", style="green", markup=False)
            except FeilunError as error:  # such as an input that expired meanwhile
                console.print(error.message(), style="yellow", markup=False)
            except (EOFError, KeyboardInterrupt):
                break
        place += 1
    return len(done)


def _show(console: Console, item: ReviewItem, choices: Mapping[str, str]) -> None:
    row = item.prediction
    if item.note:
        console.print(item.note, style="yellow", markup=False)
    console.print(shown(item.shown()), markup=False)
    key = "cli.review_answer" if row.score is not None else "cli.review_answer_alone"
    console.print(t(key, label=row.label, score=row.score), style="cyan", markup=False)
    menu = "  ".join(f"[{key}] {label}" for key, label in choices.items())
    keys = t("cli.review_keys_written" if item.faults else "cli.review_keys")
    console.print(f"{menu}  {keys}".strip(), style="dim", markup=False)


def _label(console: Console, key: str, item: ReviewItem, choices: Mapping[str, str]) -> str | None:
    """Says the label that a key stands for, a new one after a question; None where none was
    typed."""
    label = item.prediction.label if key in ("\r", "\n") else choices.get(key)
    if key == "n":
        label = console.input(t("cli.review_new")).strip()
    if label:
        item.label(label)
    return label


def _judge(console: Console, key: str, item: ReviewItem, choices: Mapping[str, str]) -> str | None:
    """Accepts, edits or rejects a written answer; None after a note, and where nothing was
    typed."""
    answered = item.prediction.label or ""
    if key == "n":
        note = _typed(t("cli.review_note"))
        if note:
            item.remark(note)
        return None
    if key != "r":
        text = answered if key in ("\r", "\n") else _typed(t("cli.review_edit"), answered)
        if text:
            item.label(text)
        return text
    faults = {str(number): name for number, name in enumerate(item.faults, 1)}
    words = {number: t(f"feedback.fault_{name}") for number, name in faults.items()}
    menu = "  ".join(f"[{number}] {word}" for number, word in words.items())
    console.print(menu, style="dim", markup=False)
    chosen = read_key()
    if chosen not in faults:
        return None
    note = _typed(t("cli.review_note"))
    right = _typed(t("cli.review_right"))
    item.reject(faults[chosen], right or None, note)
    return words[chosen]


def _typed(question: str, text: str = "") -> str:
    """A line that is typed, beginning with `text` where the terminal can."""
    try:
        import readline
    except ImportError:
        return input(question).strip()
    readline.set_startup_hook(lambda: readline.insert_text(text))
    try:
        return input(question).strip()
    finally:
        readline.set_startup_hook()


def read_key() -> str:
    """The next key; Ctrl-C and Ctrl-D end the walk, and what was labelled is kept."""
    try:
        return typer.getchar()
    except (EOFError, KeyboardInterrupt):
        return "q"


def shown(item: object) -> str:
    return t("project.bytes", count=len(item)) if isinstance(item, bytes) else str(item)
