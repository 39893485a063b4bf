"""``feilun data clean``: mends rows, and keeps how for rows that come later."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.cli.values import pairs
from feilun.messages import t


def command(
    shell: Shell,
    drop_duplicates: Annotated[
        str | None, typer.Option("--drop-duplicates", help=t("clean.option_drop_duplicates"))
    ] = None,
    merge_label: Annotated[
        list[str] | None, typer.Option("--merge-label", help=t("clean.option_merge_label"))
    ] = None,
    rename_label: Annotated[
        list[str] | None, typer.Option("--rename-label", help=t("clean.option_rename_label"))
    ] = None,
    mask: Annotated[str | None, typer.Option("--mask", help=t("clean.option_mask"))] = None,
    reversible: Annotated[
        bool, typer.Option("--reversible", help=t("clean.option_reversible"))
    ] = False,
    drop_empty: Annotated[
        bool, typer.Option("--drop-empty", help=t("clean.option_drop_empty"))
    ] = False,
    drop_long: Annotated[
        int | None, typer.Option("--drop-long", min=1, help=t("clean.option_drop_long"))
    ] = None,
    drop_conflicts: Annotated[
        bool, typer.Option("--drop-conflicts", help=t("clean.option_drop_conflicts"))
    ] = False,
    drop_label: Annotated[
        list[str] | None, typer.Option("--drop-label", help=t("clean.option_drop_label"))
    ] = None,
    relabel: Annotated[
        Path | None, typer.Option("--relabel", help=t("clean.option_relabel"))
    ] = None,
    drop_rows: Annotated[
        Path | None, typer.Option("--drop-rows", help=t("clean.option_drop_rows"))
    ] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", help=t("clean.option_recipe"))] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=t("clean.option_dry_run"))] = False,
    forget_recipe: Annotated[
        bool, typer.Option("--forget-recipe", help=t("clean.option_forget"))
    ] = False,
) -> None:
    kinds = [kind.strip() for kind in (mask or "").split(",") if kind.strip()]
    with shell.project() as project, shell.progress() as report:
        cleaned = project.clean(
            recipe=recipe,
            dry_run=dry_run,
            forget_recipe=forget_recipe,
            report=report,
            drop_duplicates=drop_duplicates,
            merge_labels=pairs("--merge-label", merge_label),
            rename_labels=pairs("--rename-label", rename_label),
            mask=tuple(kinds),
            reversible=reversible,
            drop_empty=drop_empty,
            drop_long=drop_long,
            drop_conflicts=drop_conflicts,
            drop_labels=tuple(drop_label or ()),
            relabel=str(relabel) if relabel else None,
            drop_rows=str(drop_rows) if drop_rows else None,
        )
    shell.show(cleaned)
