"""Runs the real command in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers import forked

__all__ = ["command", "environment", "feilun", "feilun_json", "interrupt", "start"]


def environment(**more: str) -> dict[str, str]:
    """The environment of a user: no FEILUN settings but `more`."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("FEILUN_")}
    return {**plain, "FEILUN_LANG": "en", **more}


def command(*words: str) -> list[str]:
    """The command line of ``feilun WORDS``."""
    return [sys.executable, "-m", "feilun", *words]


def feilun(
    *words: str, cwd: Path, timeout: float = 300, **env: str
) -> subprocess.CompletedProcess[str]:
    """``feilun WORDS`` in `cwd`, to its end."""
    return forked.run(words, cwd, environment(**env), timeout)


def feilun_json(
    *words: str, cwd: Path, code: int = 0, timeout: float = 300, **env: str
) -> dict[str, Any]:
    """The one object that ``feilun WORDS --json`` prints; it must end with `code`."""
    done = feilun(*words, "--json", cwd=cwd, timeout=timeout, **env)
    assert done.returncode == code, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def start(*words: str, cwd: Path, **env: str) -> forked.Forked:
    """``feilun WORDS`` as it runs in a terminal, until `interrupt`. All that it says is in
    ``stdout``."""
    return forked.Forked(
        command(*words),
        cwd=cwd,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def interrupt(process: forked.Forked, timeout: float = 60) -> str:
    """Ctrl-C for what `start` began, waits for its end, and returns what it still said."""
    process.send_signal(signal.SIGINT)
    said: str = process.communicate(timeout=timeout)[0]
    return said
