"""``feilun demo``: the whole wheel on real reviews; then it keeps serving."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feilun import messages
from feilun.cli.shell import Shell
from feilun.config import load_settings
from feilun.errors import UsageError
from feilun.messages import t


def command(
    shell: Shell,
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
    from feilun.demo import tell

    spoken = next((one for one in messages.LANGUAGES if one == (lang or messages.language())), None)
    if spoken is None:
        raise UsageError("cli.no_such_language", lang=lang, options=messages.LANGUAGES)
    messages.use(spoken)
    name = "feilun-demo-zh" if spoken == "zh" else "feilun-demo"
    target = folder or load_settings(workspace=shell.folder).workspace / name
    with shell.progress() as report:
        told = tell(
            target,
            spoken,
            show=lambda result: None if shell.json else shell.show(result),
            say=shell.say,
            report=report,
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
