"""The workspace as a whole: made, watched, copied, tidied."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun import messages
from feilun.cli.shell import Shell
from feilun.config import UPSTREAM_KEY, load_settings
from feilun.errors import UsageError
from feilun.messages import t
from feilun.registry import names

__all__ = ["backup", "demo", "doctor", "gc", "init", "restore", "status", "worker"]


def init(
    shell: Shell,
    name: Annotated[str, typer.Argument(help=t("cli.argument_name"))],
    task: Annotated[
        str, typer.Option("--task", help=t("cli.option_task", options=names("tasks")))
    ] = "text-classification",
    base: Annotated[str | None, typer.Option("--base", help=t("cli.option_base"))] = None,
    upstream: Annotated[
        str | None, typer.Option("--upstream", help=t("cli.option_upstream"))
    ] = None,
    upstream_model: Annotated[
        str, typer.Option("--upstream-model", help=t("cli.option_upstream_model"))
    ] = "",
    upstream_key: Annotated[
        str, typer.Option("--upstream-key", help=t("cli.option_upstream_key"))
    ] = UPSTREAM_KEY,
    upstream_labels: Annotated[
        str, typer.Option("--upstream-labels", help=t("cli.option_upstream_labels"))
    ] = "",
) -> None:
    """A new project in the workspace."""
    from feilun.project.upstream import Upstream

    labels = tuple(one.strip() for one in upstream_labels.split(",") if one.strip())
    other = Upstream(upstream, upstream_model, upstream_key, labels) if upstream else None
    with shell.workspace() as workspace:
        project = workspace.init(name, task=task, base=base, upstream=other)
        more = [t("cli.init_next", name=name)]
        if upstream:
            more = [t("cli.init_upstream", name=name, key=upstream_key), t("cli.upstream_terms")]
        shell.emit(
            {"project": name, "task": task, "file": project.file},
            t("cli.init_done", name=name, file=project.file),
            *more,
        )


def status(shell: Shell) -> None:
    """What is live, what is running and how far, which servers answer."""
    with shell.workspace() as workspace:
        shell.show(workspace.status(shell.project_name))


def doctor(shell: Shell) -> None:
    """Checks the installation and the workspace, and says what to fix."""
    with shell.workspace() as workspace:
        result = workspace.doctor()
    shell.show(result)
    if not result.ok:
        raise typer.Exit(3)


def worker(
    shell: Shell,
    once: Annotated[bool, typer.Option("--once", help=t("cli.option_once"))] = False,
) -> None:
    """Runs scheduled updates and queued turns, one after the other."""
    with shell.workspace() as workspace:
        ran = workspace.work(once=once, say=shell.say)
    if shell.json:
        shell.show(ran)


def backup(
    shell: Shell,
    target: Annotated[Path, typer.Argument(help=t("cli.argument_backup"))],
) -> None:
    """The whole workspace into a folder, while it works."""
    with shell.workspace() as workspace:
        shell.show(workspace.backup(target))


def restore(
    shell: Shell,
    source: Annotated[Path, typer.Argument(help=t("cli.argument_restore"))],
) -> None:
    """A backup into an empty workspace."""
    from feilun.project import Workspace

    shell.show(Workspace.restore(source, shell.folder))


def gc(
    shell: Shell,
    keep: Annotated[int, typer.Option("--keep", min=1, help=t("cli.option_keep"))] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=t("cli.option_dry_run"))] = False,
) -> None:
    """Removes what nothing refers to."""
    with shell.workspace() as workspace:
        shell.show(workspace.gc(keep=keep, dry_run=dry_run))


def demo(
    shell: Shell,
    task: Annotated[
        str, typer.Option("--task", help=t("cli.option_demo_task"))
    ] = "text-classification",
    exit_: Annotated[bool, typer.Option("--exit", help=t("cli.option_exit"))] = False,
    lang: Annotated[str | None, typer.Option("--lang", help=t("cli.option_lang"))] = None,
    base: Annotated[str | None, typer.Option("--base", help=t("cli.option_base"))] = None,
    method: Annotated[str, typer.Option("--method", help=t("cli.option_method"))] = "auto",
    folder: Annotated[
        Path | None, typer.Option("--folder", help=t("cli.option_demo_folder"))
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help=t("cli.option_port"))
    ] = 8000,
) -> None:
    """The whole wheel on real rows; then it keeps serving."""
    from feilun.demo import tell

    spoken = next((one for one in messages.LANGUAGES if one == (lang or messages.language())), None)
    if spoken is None:
        raise UsageError("cli.no_such_language", lang=lang, options=messages.LANGUAGES)
    messages.use(spoken)
    name = "feilun-demo-zh" if spoken == "zh" else "feilun-demo"
    name += "" if task == "text-classification" else f"-{task}"
    target = folder or load_settings(workspace=shell.folder).workspace / name
    with shell.progress() as report:
        told = tell(
            target,
            spoken,
            show=lambda result: None if shell.json else shell.show(result),
            say=shell.say,
            report=report,
            task=task,
            base=base,
            method=method,
            port=port,
        )
    try:
        if shell.json:
            shell.show(told)
        if not exit_:
            shell.say(t("demo.keeps_serving"))
            told.wait()
    finally:
        told.stop()
