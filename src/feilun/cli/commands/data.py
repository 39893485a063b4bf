"""Rows: where they come from, what is wrong with them, where they go."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from feilun.cli.options import Reading
from feilun.cli.shell import Shell
from feilun.cli.values import pairs
from feilun.errors import UsageError
from feilun.messages import t

__all__ = [
    "data_add",
    "data_audit",
    "data_clean",
    "data_corpus",
    "data_diff",
    "data_export",
    "data_fetch",
    "data_preview",
    "data_recipe",
    "data_show",
    "data_unmask",
    "data_use",
    "data_watch",
]


def data_add(
    shell: Shell,
    files: Annotated[list[str], typer.Argument(help=t("cli.argument_sources"))],
    *,
    map_: Annotated[list[str] | None, typer.Option("--map", help=t("cli.option_map"))] = None,
    split: Annotated[str, typer.Option("--split", help=t("cli.option_split"))] = "auto",
    query: Annotated[str | None, typer.Option("--query", help=t("cli.option_query"))] = None,
    since: Annotated[str | None, typer.Option("--since", help=t("sources.option_since"))] = None,
    mark: Annotated[str | None, typer.Option("--mark", help=t("sources.option_mark"))] = None,
    restart: Annotated[bool, typer.Option("--restart", help=t("sources.option_restart"))] = False,
    relabel: Annotated[bool, typer.Option("--relabel", help=t("formats.option_relabel"))] = False,
    append: Annotated[bool, typer.Option("--append", help=t("formats.option_append"))] = False,
    corpus: Annotated[bool, typer.Option("--corpus", help=t("corpus.option_corpus"))] = False,
    reading: Reading,
) -> None:
    """Files, folders or a query become the next data version."""
    if corpus and (split != "auto" or since or mark or restart or relabel or append):
        raise UsageError("corpus.not_with")
    with shell.project() as project, shell.progress() as report:
        if corpus:
            columns = pairs("--map", map_)
            shell.show(
                project.add_corpus(*files, columns=columns, query=query, report=report, **reading)
            )
            return
        added = project.add(
            *files,
            columns=pairs("--map", map_),
            split=split,
            query=query,
            since=since,
            mark=mark,
            restart=restart,
            relabel=relabel,
            append=append,
            report=report,
            **reading,
        )
    shell.show(added)


def data_preview(
    shell: Shell,
    files: Annotated[list[str], typer.Argument(help=t("cli.argument_sources"))],
    *,
    map_: Annotated[list[str] | None, typer.Option("--map", help=t("cli.option_map"))] = None,
    reading: Reading,
) -> None:
    """How files would be understood and what would be kept, before anything is."""
    with shell.project() as project, shell.progress() as report:
        found = project.preview(*files, columns=pairs("--map", map_), report=report, **reading)
    shell.show(found)


def data_audit(
    shell: Shell,
    files: Annotated[list[str] | None, typer.Argument(help=t("audit.argument_files"))] = None,
    *,
    map_: Annotated[list[str] | None, typer.Option("--map", help=t("cli.option_map"))] = None,
    query: Annotated[str | None, typer.Option("--query", help=t("cli.option_query"))] = None,
    quick: Annotated[bool, typer.Option("--quick", help=t("audit.option_quick"))] = False,
    reading: Reading,
) -> None:
    """What is wrong with the rows, what it costs, and what mends it."""
    with shell.project() as project, shell.progress() as report:
        found = project.audit(
            *(files or ()),
            columns=pairs("--map", map_),
            query=query,
            quick=quick,
            report=report,
            **reading,
        )
    shell.show(found)


def data_clean(
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
    """Mends rows, and keeps how for rows that come later."""
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


def data_corpus(
    shell: Shell,
    name: Annotated[str | None, typer.Argument(help=t("corpus.argument_name"))] = None,
    out: Annotated[Path | None, typer.Option("--out", help=t("corpus.option_out"))] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help=t("corpus.option_rows"))] = 200,
    format_: Annotated[
        str | None, typer.Option("--format", help=t("formats.option_format"))
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help=t("corpus.option_seed"))] = 0,
) -> None:
    """The rows without labels, and some of them in a file for labelling."""
    from feilun.project import corpus

    with shell.project() as project:
        if out is None:
            shell.show(corpus.listing(project.scope))
            return
        done = corpus.sample(project.scope, out, name=name, rows=rows, seed=seed, format=format_)
    shell.emit(asdict(done), t("corpus.written", rows=done.rows, file=done.file))


def data_diff(
    shell: Shell,
    version: Annotated[str | None, typer.Argument(help=t("clean.argument_version"))] = None,
    against: Annotated[
        str | None, typer.Option("--against", help=t("project.option_diff_against"))
    ] = None,
) -> None:
    """What tells a data version from the one before it."""
    with shell.project() as project:
        shell.show(project.diff_data(version, against))


def data_export(
    shell: Shell,
    file: Annotated[Path, typer.Argument(help=t("formats.argument_file"))],
    format_: Annotated[
        str | None, typer.Option("--format", help=t("formats.option_format"))
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help=t("formats.option_split"))] = None,
    only: Annotated[Path | None, typer.Option("--only", help=t("formats.option_only"))] = None,
) -> None:
    """Rows for a labelling tool or a spreadsheet."""
    with shell.project() as project:
        shell.show(project.export_data(file, format=format_, split=split, only=only))


def data_fetch(
    shell: Shell,
    urls: Annotated[Path, typer.Argument(help=t("web.argument_urls"))],
    out: Annotated[Path, typer.Option("--out", help=t("web.option_out"))],
    contact: Annotated[str, typer.Option("--contact", help=t("web.option_contact"))] = "",
    delay: Annotated[float, typer.Option("--delay", min=0.1, help=t("web.option_delay"))] = 1.0,
    max_bytes: Annotated[
        int, typer.Option("--max-bytes", min=1000, max=64 << 20, help=t("web.option_bytes"))
    ] = 5 << 20,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=600, help=t("web.option_seconds"))
    ] = 30,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help=t("web.option_private"))
    ] = False,
) -> None:
    """Pages of the web from a list, as JSON lines that ``data add`` reads."""
    from feilun.data.web import fetch

    with shell.progress() as report:
        fetched = fetch(
            urls,
            out,
            contact=contact,
            delay=delay,
            max_bytes=max_bytes,
            seconds=seconds,
            private=("0.0.0.0/0", "::/0") if allow_private else (),
            report=report,
        )
    shell.show(fetched)


def data_recipe(
    shell: Shell,
    toml: Annotated[bool, typer.Option("--toml", help=t("clean.option_toml"))] = False,
) -> None:
    """What the rows went through, and what later rows will go through."""
    with shell.project() as project:
        if toml:
            text = project.recipe_toml()
            shell.emit({"toml": text}, text.rstrip())
        else:
            shell.show(project.recipe())


def data_show(
    shell: Shell,
    rows: Annotated[int, typer.Option("--rows", min=0, help=t("cli.option_rows"))] = 5,
    rendered: Annotated[bool, typer.Option("--rendered", help=t("cli.option_rendered"))] = False,
) -> None:
    """The project's data versions and some rows of the latest."""
    with shell.project() as project:
        shell.show(project.show(rows=rows, rendered=rendered))


def data_unmask(
    shell: Shell,
    file: Annotated[Path, typer.Argument(help=t("clean.argument_masked"))],
    out: Annotated[Path | None, typer.Option("--out", help=t("clean.option_out"))] = None,
) -> None:
    """Turns the reversible masks in a file back."""
    with shell.project() as project:
        found = project.unmask(file, out)
        shell.emit(found, t("clean.unmasked", **found))


def data_use(
    shell: Shell,
    version: Annotated[str, typer.Argument(help=t("clean.argument_version"))],
    relearn: Annotated[bool, typer.Option("--relearn", help=t("clean.option_relearn"))] = False,
) -> None:
    """An earlier data version becomes the latest again."""
    with shell.project() as project:
        shell.show(project.use_data(version, relearn=relearn))


def data_watch(
    shell: Shell,
    folder: Annotated[Path, typer.Argument(help=t("watch.argument_folder"))],
    *,
    every: Annotated[
        float, typer.Option("--every", min=1, max=86_400, help=t("watch.option_every"))
    ] = 60,
    once: Annotated[bool, typer.Option("--once", help=t("watch.option_once"))] = False,
    map_: Annotated[list[str] | None, typer.Option("--map", help=t("cli.option_map"))] = None,
    split: Annotated[str, typer.Option("--split", help=t("cli.option_split"))] = "auto",
    reading: Reading,
) -> None:
    """Files that arrive in a folder are added, each once."""
    with shell.project() as project:
        done = project.watch(
            folder,
            every=every,
            once=once,
            columns=pairs("--map", map_),
            split=split,
            say=shell.say,
            **reading,
        )
    shell.show(done)
