"""``feilun rollback``: the canary ends, or what was live before answers again, at once."""

from __future__ import annotations

from typing import Annotated

import typer

from feilun.cli.shell import Shell
from feilun.messages import t


def command(
    shell: Shell,
    shadow: Annotated[bool, typer.Option("--shadow", help=t("cli.option_end_shadow"))] = False,
) -> None:
    with shell.project() as project:
        shell.show(project.rollback(shadow=shadow))
