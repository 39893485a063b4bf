"""Runs the real command in a process of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from helpers import forked

__all__ = ["at_terminal", "command", "environment", "feilun", "feilun_json", "interrupt", "start"]


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


def at_terminal(
    *words: str, cwd: Path, keys: Sequence[tuple[str, str]], timeout: float = 300, **env: str
) -> subprocess.CompletedProcess[str]:
    """``feilun WORDS`` at a terminal of its own, to its end. Of `keys`, pairs of what is shown and
    of a key, each is pressed once it is asked for and what goes with it is there. What stands on
    the screen is in ``stdout``."""
    ours, theirs = pty.openpty()
    plain = {"TERM": "dumb", "COLUMNS": "1000", **env}  # lines are not broken
    process = forked.Forked(
        command(*words),
        cwd=cwd,
        env=environment(**plain),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    screen, left, until = b"", list(keys), time.monotonic() + timeout
    while time.monotonic() < until:
        if select.select([ours], [], [], 0.05)[0]:
            with suppress(OSError):  # nobody holds the other end any more
                screen += os.read(ours, 65536)
            continue
        if process.poll() is not None:
            break
        asked = not termios.tcgetattr(ours)[3] & termios.ICANON
        if left and asked and re.search(left[0][0], screen.decode("utf-8", "replace")):
            os.write(ours, left.pop(0)[1].encode())
    os.close(theirs)
    os.close(ours)
    shown = screen.decode("utf-8", "replace").replace("\r\n", "\n")
    if process.poll() is None:
        process.kill()
        process.wait()
        raise subprocess.TimeoutExpired(list(words), timeout, shown)
    return subprocess.CompletedProcess(list(words), process.wait(), shown, "")


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
