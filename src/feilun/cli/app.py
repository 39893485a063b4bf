"""Finds the commands, runs one, and turns every failure into words and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer
from typer._click import exceptions as click_errors

from feilun import messages
from feilun.cli.failures import INTERRUPTED, PRINTED, fail, interrupted
from feilun.cli.found import command_functions, command_names
from feilun.cli.helping import translated
from feilun.cli.shell import alone, bind, sharing
from feilun.config import load_settings
from feilun.errors import FeilunError
from feilun.messages import t

__all__ = [
    "BUG",
    "INTERRUPTED",
    "build",
    "command_functions",
    "command_names",
    "interrupted",
    "run",
]

BUG = 70


def build(first: str = "") -> typer.Typer:
    """The application with all commands, or with those whose first word is `first` alone, where
    there are any; a two-word command belongs to the group of its first."""
    app = typer.Typer(
        name="feilun",
        help=t("cli.help"),
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    option = typer.Option(
        False, "--version", help=t("cli.option_version"), is_eager=True, callback=_show_version
    )

    def root(version: bool = option) -> None:
        pass

    app.callback()(sharing(root))
    groups: dict[str, typer.Typer] = {}
    found = command_functions()
    # All of them take a fifth of a second of a processor.
    found = {name: found[name] for name in found if name.split()[0] == first} or found
    for name in sorted(found):
        command = bind(found[name])
        group, _, verb = name.rpartition(" ")
        target = app
        if any(other.startswith(f"{name} ") for other in found):
            # A command that has others below it, as `usage` has `usage export`.
            groups[name] = typer.Typer(help=t(f"cli.help_{name}"), invoke_without_command=True)
            groups[name].callback()(alone(command))
            app.add_typer(groups[name], name=name)
            continue
        if group:
            if group not in groups:
                groups[group] = typer.Typer(help=t(f"cli.group_{group}"), no_args_is_help=True)
                app.add_typer(groups[group], name=group)
            target = groups[group]
        target.command(verb, help=t(f"cli.help_{name.replace(' ', '_')}"))(command)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from feilun import __version__

        typer.echo(f"feilun {__version__}")
        raise typer.Exit


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code. Errors are words on stderr, or with
    ``--json`` one object on stdout; a traceback appears only with ``--debug``."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in args
    as_json = "--json" in args
    PRINTED.clear()
    _speak_utf8()
    try:
        settings = load_settings()
        messages.use(settings.lang)
        debug = debug or settings.debug
        application = typer.main.get_command(build(args[0] if args else ""))
        code = translated(application).main(args, "feilun", standalone_mode=False)
        if code == INTERRUPTED:  # Typer swallows the interruption and says nothing
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except FeilunError as error:
        if debug:
            raise
        said = error.code, error.message(), error.hint(), error.exit_code
        return fail(*said, as_json, error.params)
    except click_errors.ClickException as error:
        return _misused(error, args, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return interrupted(args, as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if debug:
            raise
        where = error.filename or ""
        message = t("cli.os_error", reason=error.strerror or str(error), file=where)
        return fail("os_error", message, t("cli.os_error_hint"), 3, as_json)
    except Exception as error:
        if debug:
            raise
        message = t("cli.bug", kind=type(error).__name__, reason=error)
        return fail("internal", message, t("cli.bug_hint"), BUG, as_json)
    finally:
        messages.advise(None)


def _speak_utf8() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Callable[..., Any] | None = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(encoding="utf-8", errors="replace")


def _usage(error: click_errors.ClickException) -> str:
    """A click error in the language in force; click itself speaks English alone."""
    if isinstance(error, click_errors.NoArgsIsHelpError):
        return t("cli.no_command")
    if isinstance(error, click_errors.NoSuchOption):
        options = error.possibilities or ()
        key = "cli.no_such_option_near" if options else "cli.no_such_option"
        return t(key, option=error.option_name, options=options)
    if isinstance(error, click_errors.MissingParameter):
        return t("cli.missing_argument", name=_name(error))
    if isinstance(error, click_errors.BadParameter):
        return t("cli.bad_argument", name=_name(error), reason=error.message)
    words = error.message
    if words.startswith("No such command"):
        return _no_such_command(error, words.split("'")[1])
    return t("cli.usage", reason=words)


def _misused(error: click_errors.ClickException, args: Sequence[str], as_json: bool) -> int:
    if isinstance(error, click_errors.NoArgsIsHelpError) and not as_json:
        typer.echo(error.message, err=True)
        if not args:
            typer.echo(f"\n{_first_steps(load_settings().workspace)}", err=True)
        return 2
    return fail("usage", _usage(error), t("cli.usage_hint"), 2, as_json)


def _no_such_command(error: click_errors.ClickException, name: str) -> str:
    """What is not there, and what is written like it: ``rn`` for ``run``, ``add`` for ``data
    add``."""
    known = command_names()
    context = getattr(error, "ctx", None)
    above = context.command_path.partition(" ")[2] if context else ""
    typed = f"{above} {name}".strip()
    written_so = get_close_matches(typed, [*known, *{w.partition(" ")[0] for w in known}], 3, 0.65)
    below = [words for words in known if words.split()[1:] == [name]]
    near = list(dict.fromkeys([*written_so, *below]))
    if near:
        shown = [f"feilun {words}" for words in near[:3]]
        return t("cli.no_such_command_near", name=typed, options=shown)
    return t("cli.no_such_command", name=typed, options=known)


def _first_steps(folder: Path) -> str:
    """What to do first where no command was named."""
    from feilun.project.workspace_verbs import STATE

    key = "cli.first_steps_again" if (folder / STATE).is_dir() else "cli.first_steps"
    return t(key, folder=folder.resolve())


def _name(error: click_errors.BadParameter) -> str:
    if error.param is None:
        return str(error.param_hint or "")
    # Options as they are typed; an argument has no other name than its own.
    names = [name for name in getattr(error.param, "opts", ()) if name.startswith("-")]
    return "/".join(names) or str(error.param.name).upper()
