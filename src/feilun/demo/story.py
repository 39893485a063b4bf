"""Tells the story: data, a live API at once, better versions, customers, an update, the table."""

from __future__ import annotations

import csv
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.data.content import content_key
from feilun.data.reading import content_keys
from feilun.data.sources.base import Source
from feilun.demo.closing import Closing, closing
from feilun.demo.reviews import TRAFFIC, Reviews, write
from feilun.demo.traffic import Watch, send
from feilun.errors import Conflict, EnvironmentProblem
from feilun.messages import t
from feilun.project import Project, Workspace
from feilun.serving.process import temporary_server
from feilun.table import Result
from feilun.types import Item, Progress

__all__ = ["Told", "tell"]

_MARKER = ".feilun-demo"


@dataclass(frozen=True)
class Told(Result):
    """How it ended: the closing table, seconds from the start to the first answer of the live API
    and to the end, failures that a customer who never stopped asking saw, and the addresses."""

    closing: Closing
    first_answer_seconds: float
    seconds: float
    answers_while_training: int
    failures_while_training: int
    address: str
    report: Path | None
    _server: ExitStack

    def tables(self) -> Sequence[Any]:
        return self.closing.tables()

    def wait(self) -> None:
        """Keeps serving until the user interrupts."""
        with suppress(KeyboardInterrupt):
            threading.Event().wait()

    def stop(self) -> None:
        """Ends the server."""
        self._server.close()


def tell(
    folder: Path,
    lang: str,
    *,
    show: Callable[[Result], None],
    say: Callable[[str], None],
    report: Callable[[Progress], None],
    task: str = "text-classification",
    base: str | None = None,
    method: str = "auto",
    port: int = 8000,
    reviews: Reviews | None = None,
    traffic: int = TRAFFIC,
) -> Told:
    """Turns the wheel in the new folder `folder` on reviews in `lang` (or on `reviews`), the last
    `traffic` rows of the training file being tomorrow's customers. A folder of an earlier
    demonstration is emptied first; any other is left alone with `Conflict`."""
    begun = time.perf_counter()
    _empty(folder)
    files = reviews or write(folder / "data", lang, task)
    workspace = Workspace(folder)
    project = workspace.init(files.name, task=files.task, base=base)
    later = _add(project, files, traffic, show, say, report)

    server = ExitStack()
    try:
        address = _serve(server, workspace, port)
        say(t("demo.server", address=address))
        keys = [
            workspace.create_key(t(f"demo.customer_{n}"), project=files.name).secret
            for n in ("one", "two")
        ]
        watch = Watch(
            address,
            keys[0],
            files.name,
            later[0][0],
            on_news=lambda code, params: report(Progress("", 0, 0, note=t(code, **params))),
        )
        watch.start()
        try:
            run = project.run(method=method, report=report)
        finally:
            watch.stop()
        show(run)
        say(t("demo.watched", answers=watch.answers, failures=len(watch.failures)))

        sent = send(
            address,
            keys,
            files.name,
            later,
            lambda done: report(Progress("traffic", done, len(later), t("demo.rows"))),
        )
        say(
            t(
                "demo.traffic",
                rows=sent.rows,
                right=sent.right,
                share=100 * sent.right / max(1, sent.rows),
                corrected=sent.corrected,
                confirmed=sent.confirmed,
                failed=sent.failed,
            )
        )
        if sent.lost:
            say(t("demo.lost", lost=sent.lost))
        update = project.update(report=report)
        show(update)
        say(t("demo.testing", rows=_count(files.testing)))
        table = closing(project, files.testing, files.label, report)
        show(table)
    except BaseException:
        server.close()
        raise
    page = update.report or run.report
    for key, params in (
        ("demo.api", {"address": address}),
        ("demo.docs", {"address": address}),
        ("demo.report", {"file": page}),
        ("demo.key", {"key": keys[0]}),
    ):
        say(t(key, **params))
    seconds = time.perf_counter() - begun
    say(t("demo.done", seconds=seconds))
    return Told(
        closing=table,
        first_answer_seconds=watch.first_answer - begun if watch.first_answer else 0.0,
        seconds=seconds,
        answers_while_training=watch.answers,
        failures_while_training=len(watch.failures),
        address=address,
        report=page,
        _server=server,
    )


def _serve(stack: ExitStack, workspace: Workspace, port: int) -> str:
    """Starts the server on `port`, or where that is taken on a free one."""
    for choice in (port, 0):
        try:
            server = temporary_server(workspace.folder, workspace.settings, port=choice)
            return stack.enter_context(server)
        except EnvironmentProblem:
            if choice == 0:
                raise
    raise AssertionError


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARKER).exists():
            raise Conflict("demo.not_ours", folder=folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARKER).write_text("", "utf-8")


def _add(
    project: Project,
    files: Reviews,
    traffic: int,
    show: Callable[[Result], None],
    say: Callable[[str], None],
    report: Callable[[Progress], None],
) -> list[tuple[Item, str]]:
    """Adds the training file without tomorrow's rows and without what the testing file holds too;
    returns tomorrow's rows, cleaned in the same way."""
    columns = {"label": files.label, **({"text": files.text} if files.text else {})}
    held_out: frozenset[bytes] = frozenset()
    if not project.task.open_columns:  # equal rows of a table may well be different customers
        held_out = content_keys([Source(files.testing)], project.task, columns)
    added = project.add(
        files.training,
        columns=columns,
        drop_last=traffic,
        exclude=set(held_out),
        report=report,
    )
    show(added)
    show(project.audit(quick=True))
    with files.training.open(encoding="utf-8", newline="") as stream:
        rows = [_row(row, files) for row in csv.DictReader(stream)]
    later = [row for row in rows[-traffic:] if content_key(row[0]) not in held_out]
    say(
        t(
            "demo.held_out",
            traffic=len(later),
            testing=_count(files.testing),
            training=added.report["held_out"],
            dropped=min(traffic, len(rows)) - len(later),
        )
    )
    return later


def _row(row: dict[str, str], files: Reviews) -> tuple[Item, str]:
    """The input as a customer sends it, and its label."""
    label = row.pop(files.label)
    return (row if files.text is None else row[files.text]), label


def _count(file: Path) -> int:
    with file.open(encoding="utf-8", newline="") as stream:
        return sum(1 for _ in csv.DictReader(stream))
