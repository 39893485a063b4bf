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
    corpus: Annotated[bool, typer.Option("--corpus", help=t("corpus.option_corpus"))] = False,
) -> None:
    if corpus and (split != "auto" or since or mark or restart):
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
            report=report,
        )
    shell.show(added)
