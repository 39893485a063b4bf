"""What every command shares: the workspace, the project, how results and progress are shown."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer._click.globals import get_current_context

from feilun import messages
from feilun.cli.advised import advise_for
from feilun.cli.failures import PRINTED
from feilun.cli.options import Options
from feilun.cli.values import stated
from feilun.config import load_settings
from feilun.messages import t
from feilun.table import Result, Table, to_jsonable
from feilun.types import Progress

if TYPE_CHECKING:
    from feilun.project import Project, Workspace

__all__ = ["Shell", "alone", "bind", "sharing"]

_PLAIN_WIDTH = 120
_SHARED = ("workspace", "project", "as_json", "debug")


def _print_json(value: Any, out: Any) -> None:
    PRINTED.set()
    # Flushed at once: whoever reads the address of a server from a pipe waits for this line.
    print(json.dumps(value, ensure_ascii=False), file=out, flush=True)


@dataclass(frozen=True, slots=True)
class Shell:
    """One invocation: where it works and how it speaks. `json` means one object on `out`, the
    process's stdout; what libraries print meanwhile goes to stderr."""

    folder: Path | None
    project_name: str | None
    json: bool
    debug: bool
    out: Any = None

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """The workspace, closed afterwards."""
        from feilun.project import Workspace

        advise_for(self.folder, self.project_name)
        with Workspace(self.folder) as workspace:
            several = len(workspace.scope.projects()) > 1
            advise_for(self.folder, self.project_name, several)
            yield workspace

    @contextmanager
    def project(self) -> Iterator[Project]:
        """The named project, or the workspace's only one."""
        from feilun.project.advice import to_name

        with self.workspace() as workspace:
            project = workspace.project(self.project_name)
            advise_for(self.folder, to_name(workspace.store, project.name))
            yield project

    def show(self, result: Result) -> None:
        """Prints a result: its tables, or with ``--json`` its one object."""
        if self.json:
            _print_json(result.to_json(), self.out)
            return
        console = _console(stderr=False)
        for table in result.tables():
            _print_table(console, table)

    def emit(self, value: Any, *lines: str) -> None:
        """Prints `lines`, or with ``--json`` the object `value`."""
        if self.json:
            _print_json(to_jsonable(value), self.out)
        else:
            for line in lines:
                print(line, flush=True)

    def say(self, line: str) -> None:
        """A sentence for people beside the result: on stderr, so that stdout stays the result."""
        print(line, file=sys.stderr, flush=True)

    @contextmanager
    def progress(self) -> Iterator[Callable[[Progress], None]]:
        """A callback that draws bars on stderr; plain lines where stderr is no terminal. Until it
        is left, Ctrl-C ends the process within two seconds."""
        from feilun.cli.interrupts import ends_soon
        from feilun.cli.progress import shown

        with ends_soon(self.json, self.out), shown() as report:
            yield report


def bind(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that all commands share, in place of its `shell` parameter, and
    those of a group in place of the group's."""
    signature = inspect.signature(function, eval_str=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    own: list[inspect.Parameter] = []
    groups: dict[str, list[str]] = {}
    for name, parameter in signature.parameters.items():
        group = parameter.annotation
        if isinstance(group, type) and issubclass(group, Options):
            # Evaluated anew each time: the words of help are those of the language in force.
            options = inspect.get_annotations(group, eval_str=True)
            groups[name] = list(options)
            own += [
                inspect.Parameter(option, kind, default=None, annotation=annotation)
                for option, annotation in options.items()
            ]
        elif name != "shell":
            own.append(parameter)
    added = _shared()

    @functools.wraps(function)
    def call(**values: Any) -> None:
        settings = load_settings()
        messages.use(settings.lang)
        given = {name: _given(name, values.pop(f"shared_{name}")) for name in _SHARED}
        shell = Shell(
            folder=given["workspace"],
            project_name=given["project"],
            json=bool(given["as_json"]),
            debug=bool(given["debug"]) or settings.debug,
            out=sys.stdout,
        )
        for name, options in groups.items():
            values[name] = stated(**{option: values.pop(option) for option in options})
        with redirect_stdout(sys.stderr) if shell.json else nullcontext():
            function(shell, **values)

    call.__signature__ = inspect.Signature(own + added)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in own + added}
    return call


def _shared() -> list[inspect.Parameter]:
    """The options that all commands share, as parameters with the words of the language in
    force."""
    annotations = {
        "workspace": Annotated[
            Path | None, typer.Option("--workspace", help=t("cli.option_workspace"))
        ],
        "project": Annotated[str | None, typer.Option("--project", help=t("cli.option_project"))],
        "as_json": Annotated[bool, typer.Option("--json", help=t("cli.option_json"))],
        "debug": Annotated[bool, typer.Option("--debug", help=t("cli.option_debug"))],
    }
    return [
        inspect.Parameter(
            f"shared_{name}",
            inspect.Parameter.KEYWORD_ONLY,
            default=False if name in {"as_json", "debug"} else None,
            annotation=annotations[name],
        )
        for name in _SHARED
    ]


def _given(name: str, value: Any) -> Any:
    """A shared option where it was typed: after the command, else before it."""
    context = get_current_context(silent=True)
    while not value and context is not None:
        value = context.params.get(f"shared_{name}")
        context = context.parent
    return value


def sharing(function: Callable[..., None]) -> Callable[..., None]:
    """Lets the shared options be typed before the command too: ``feilun --workspace W status``."""
    signature = inspect.signature(function, eval_str=True)

    def call(**values: Any) -> None:
        function(**{n: v for n, v in values.items() if not n.startswith("shared_")})

    parameters = [*signature.parameters.values(), *_shared()]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def alone(function: Callable[..., None]) -> Callable[..., None]:
    """A bound command that others stand below: it runs where none of them is called."""
    signature = inspect.signature(function)

    def call(ctx: typer.Context, **values: Any) -> None:
        if ctx.invoked_subcommand is None:
            function(**values)

    context = inspect.Parameter(
        "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    parameters = [context, *signature.parameters.values()]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def _console(stderr: bool) -> Any:
    from rich.console import Console

    # Into a file or a pipe tables keep a readable width; a terminal has its own.
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(stderr=stderr, highlight=False, width=width, soft_wrap=False)


def _print_table(console: Any, table: Table) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table as RichTable

    if table.title:  # by itself: as the table's own it would be cut into the width of its columns
        style = "italic" if table.columns else "bold"
        console.print(table.title, style=style, markup=False, soft_wrap=True)
    if table.columns:
        drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for index, column in enumerate(table.columns):
            values = [row[index] for row in table.rows]
            numeric = values and all(_numeric(v) for v in values)
            drawn.add_column(
                escape(column), justify="right" if numeric else "left", overflow="fold"
            )
        for row in table.rows:
            drawn.add_row(*(escape(str(v)) for v in row))
        console.print(drawn)
    for note in table.notes:
        console.print(note, markup=False, soft_wrap=True)


def _numeric(value: Any) -> bool:
    text = str(value).strip()
    return not text or (text[0] in "0123456789.-+−–" and ", " not in text)
