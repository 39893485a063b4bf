"""A version: where it answers, where it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.options import Reading
from feilun.cli.shell import Shell
from feilun.messages import t

__all__ = ["deploy", "export", "import_", "predict", "rollback", "versions"]


def deploy(
    shell: Shell,
    model: Annotated[str | None, typer.Argument(help=t("cli.argument_model"))] = None,
    force: Annotated[bool, typer.Option("--force", help=t("cli.option_force"))] = False,
    reason: Annotated[str | None, typer.Option("--reason", help=t("cli.option_reason"))] = None,
    canary: Annotated[float | None, typer.Option("--canary", help=t("cli.option_canary"))] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help=t("cli.option_shadow"))] = False,
) -> None:
    """Puts a version live when the gate and the golden requests agree."""
    with shell.project() as project, shell.progress() as report:
        result = project.deploy(
            model, force=force, reason=reason, canary=canary, shadow=shadow, report=report
        )
    shell.show(result)


def rollback(
    shell: Shell,
    shadow: Annotated[bool, typer.Option("--shadow", help=t("cli.option_end_shadow"))] = False,
    reason: Annotated[
        str | None, typer.Option("--reason", help=t("cli.option_rollback_reason"))
    ] = None,
) -> None:
    """The canary ends, or what was live before answers again, at once."""
    with shell.project() as project:
        shell.show(project.rollback(shadow=shadow, reason=reason))


def versions(shell: Shell) -> None:
    """Every version with its verdict and score."""
    with shell.project() as project:
        shell.show(project.versions())


def predict(
    shell: Shell,
    items: Annotated[list[str], typer.Argument(help=t("cli.argument_items"))],
    *,
    model: Annotated[str | None, typer.Option("--model", help=t("cli.option_model"))] = None,
    url: Annotated[str | None, typer.Option("--url", help=t("cli.option_url"))] = None,
    key: Annotated[str | None, typer.Option("--key", help=t("cli.option_key"))] = None,
    all_scores: Annotated[
        bool, typer.Option("--all-scores", help=t("cli.option_all_scores"))
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help=t("cli.option_explain"))] = False,
    reading: Reading,
) -> None:
    """Answers in this process, unmetered; with ``--url`` and a key, metered."""
    from feilun.data.sources.base import ReadOptions
    from feilun.project.answers import is_export, predict_folder

    if model is not None and url is None and is_export(model):
        shell.show(predict_folder(Path(model), items, all_scores, explain, ReadOptions(**reading)))
        return
    with shell.project() as project:
        result = project.predict_files(
            items, model=model, url=url, key=key, all_scores=all_scores, explain=explain, **reading
        )
    shell.show(result)


def export(
    shell: Shell,
    model: Annotated[str, typer.Argument(help=t("cli.argument_model"))],
    folder: Annotated[Path, typer.Argument(help=t("cli.argument_folder"))],
) -> None:
    """A version as a folder that explains itself."""
    with shell.project() as project:
        files = project.export(model, folder)
        shell.emit({"folder": folder, "files": files}, t("cli.exported", folder=folder))


def import_(
    shell: Shell,
    folder: Annotated[Path, typer.Argument(help=t("cli.argument_exported"))],
) -> None:
    """An exported version into this workspace."""
    with shell.workspace() as workspace:
        model = workspace.import_version(folder, project=shell.project_name)
        shell.emit({"version": model.id, "state": model.state}, t("cli.imported", version=model.id))
