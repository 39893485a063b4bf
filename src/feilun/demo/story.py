"""Tells the story: data, a live API at once, better versions, customers, an update, the table."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.data.content import content_key
from feilun.data.reading import content_keys, read
from feilun.data.sources.base import Source, hold_out
from feilun.demo.closing import Closing, closing
from feilun.demo.sample import Sample, configure, prepare
from feilun.demo.traffic import Sent, Talk, Watch, converses, send, talk
from feilun.errors import Conflict, EnvironmentProblem, Refused
from feilun.feedback.to_data import content_hash
from feilun.messages import Language, t
from feilun.metrics.comparison import values
from feilun.project import Project, Workspace
from feilun.project.plans import PlanShown
from feilun.render import wording
from feilun.serving.process import temporary_server
from feilun.table import Result
from feilun.tasks import base as tasks
from feilun.tasks._questions import asked
from feilun.types import Example, Item, Progress

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
    lang: Language,
    *,
    show: Callable[[Result], None],
    say: Callable[[str], None],
    report: Callable[[Progress], None],
    task: str = "text-classification",
    base: str | None = None,
    method: str = "auto",
    port: int = 8000,
    sample: Sample | None = None,
) -> Told:
    """Turns the wheel in the new folder `folder` on real rows of `task`, texts in `lang` where
    there are such (or on `sample`). A folder of an earlier demonstration is emptied first; any
    other is left alone with `Conflict`."""
    begun = time.perf_counter()
    _empty(folder)
    files = sample or prepare(task, folder / "data", lang)
    workspace = Workspace(folder, lang=lang)
    project = workspace.init(files.name, task=files.task, base=base or files.base)
    configure(project.file, files)
    later, judging = _add(project, files, show, say, report)

    server = ExitStack()
    try:
        address = _serve(server, workspace, port)
        say(t("demo.server", address=address))
        customers = [t(f"demo.customer_{n}") for n in ("one", "two")]
        keys = [workspace.create_key(one, project=files.name).secret for one in customers]
        if files.plan:
            show(_subscribed(workspace, folder, files.plan, customers))
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
        if project.live is None:
            raise Refused("demo.nothing_live", name=files.name, report=run.report)
        say(t("demo.watched", answers=watch.answers, failures=len(watch.failures)))

        if converses(project.task):
            for line in _talked(talk(address, keys[0], files.name, later, project.task.family)):
                say(line)
        if files.change:
            say(t(files.change, share=wording.share(files.share)))
        sent = send(
            address,
            keys,
            files.name,
            later,
            lambda done: report(Progress("traffic", done, len(later), t("demo.rows"))),
            project.task.family,
        )
        metric, value = _live_score(project, sent)
        say(
            t(
                "demo.traffic",
                rows=sent.rows,
                metric=wording.metric_name(metric),
                value=value,
                corrected=sent.corrected,
                confirmed=sent.confirmed,
                failed=sent.failed,
            )
        )
        if sent.lost:
            say(t("demo.lost", lost=sent.lost))
        if files.drawn:
            say(t("demo.reviewed", rows=_labelled(project, later, files.drawn)))
        update = project.update(report=report)
        show(update)
        say(t("demo.testing", rows=len(judging)))
        table = closing(project, files.testing, judging, report)
        show(table)
        if files.plan:
            for one in customers:
                show(workspace.invoices.preview(one))
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
    files: Sample,
    show: Callable[[Result], None],
    say: Callable[[str], None],
    report: Callable[[Progress], None],
) -> tuple[list[tuple[Item, str]], list[Example]]:
    """Adds the training file without tomorrow's rows and without what the testing file holds too.
    Returns tomorrow's rows with their targets, cleaned in the same way, and the testing ones."""
    held_out: frozenset[bytes] = frozenset()
    # Equal rows of a table may well be different customers, and one customer comes again.
    if not (project.task.open_columns or project.task.recurring):
        held_out = content_keys([Source(files.testing)], project.task, files.columns)
    added = project.add(
        files.training,
        drop_last=files.traffic,
        exclude=set(held_out),
        report=report,
    )
    show(added)
    show(project.audit(quick=True))
    context = project.scope.context()
    data = context.store.catalog.latest_data(project.name)
    assert data is not None
    task = tasks.of(context.dataset(data).schema)
    _, tomorrow = hold_out(Source(files.training, columns=files.columns), files.traffic)
    rows = list(read(tomorrow, task, bad=lambda _: None))
    kept = [row for row in rows if content_key(row.item) not in held_out]
    judging = asked(task, list(read(Source(files.testing, columns=files.columns), task)))
    say(
        t(
            "demo.held_out",
            traffic=len(kept),
            testing=len(judging),
            training=added.report["held_out"],
            dropped=len(rows) - len(kept),
        )
    )
    return [(row.item, row.label) for row in asked(task, kept) if row.label], judging


def _subscribed(
    workspace: Workspace, folder: Path, plan: str, customers: Sequence[str]
) -> PlanShown:
    """Sets the plan and puts the customers on it."""
    file = folder / "plan.toml"
    file.write_text(plan, "utf-8")
    shown = workspace.plans.set(file)
    for one in customers:
        workspace.customers.set(one, plan=shown.name)
    return workspace.plans.show(shown.name)


def _talked(talks: Sequence[Talk] | None) -> list[str]:
    """What a customer heard, a sentence each."""
    if talks is None:
        return [t("demo.no_openai")]
    return [t("demo.streaming")] + [
        t(
            "demo.heard_and_corrected" if one.corrected else "demo.heard",
            question=one.question,
            answer=one.answer,
            pieces=one.pieces,
            read=one.tokens_in,
            written=one.tokens_out,
        )
        for one in talks
    ]


def _labelled(project: Project, later: Sequence[tuple[Item, str]], count: int) -> int:
    """Labels `count` answers that are drawn at random, as a reviewer would; how many it were."""
    truth = {content_hash(item): target for item, target in later}
    done = 0
    for drawn in project.review(count, drawn_only=True):
        target = truth.get(content_hash(drawn.prediction.input or ""))
        if target is not None:
            drawn.label(target)
            done += 1
    return done


def _live_score(project: Project, sent: Sent) -> tuple[str, str]:
    """How good the answers to the customers were: the metric and its value, in words."""
    if not sent.answers:
        return project.task.primary, "–"
    targets, outputs = zip(*sent.answers, strict=True)
    found = values(project.task.family.judged(targets, outputs))
    metric = project.task.primary if project.task.primary in found else next(iter(found))
    value = found[metric]
    return metric, "–" if value is None else wording.level(metric, value)
