"""``feilun data add``: files, folders or a query become the next data version."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.cli.values import pairs
from feilun.errors import UsageError
from feilun.messages import t


def command(
    shell: Shell,
    files: Annotated[list[str], typer.Argument(help=t("cli.argument_sources"))],
    map_: Annotated[list[str] | None, typer.Option("--map", help=t("cli.option_map"))] = None,
    split: Annotated[str, typer.Option("--split", help=t("cli.option_split"))] = "auto",
    query: Annotated[str | None, typer.Option("--query", help=t("cli.option_query"))] = None,
    since: Annotated[str | None, typer.Option("--since", help=t("sources.option_since"))] = None,
    mark: Annotated[str | None, typer.Option("--mark", help=t("sources.option_mark"))] = None,
    restart: Annotated[bool, typer.Option("--restart", help=t("sources.option_restart"))] = False,
    encoding: Annotated[
        str | None, typer.Option("--encoding", help=t("formats.option_encoding"))
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help=t("formats.option_delimiter"))
    ] = None,
    header_row: Annotated[
        int | None, typer.Option("--header-row", min=1, help=t("formats.option_header_row"))
    ] = None,
    relabel: Annotated[bool, typer.Option("--relabel", help=t("formats.option_relabel"))] = False,
    corpus: Annotated[bool, typer.Option("--corpus", help=t("corpus.option_corpus"))] = False,
) -> None:
    reading = encoding or delimiter or header_row
    if corpus and (split != "auto" or since or mark or restart or reading or relabel):
        raise UsageError("corpus.not_with")
    with shell.project() as project, shell.progress() as report:
        if corpus:
            columns = pairs("--map", map_)
            shell.show(project.add_corpus(*files, columns=columns, query=query, report=report))
            return
        added = project.add(
            *files,
            columns=pairs("--map", map_),
            split=split,
            query=query,
            since=since,
            mark=mark,
            restart=restart,
            encoding=encoding,
            delimiter={"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter),
            header_row=header_row,
            relabel=relabel,
            report=report,
        )
    shell.show(added)
