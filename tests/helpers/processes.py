"""Other processes for tests of what several of them do at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

from helpers.forked import Forked

__all__ = ["finish", "kill", "start", "wait_for"]


def start(code: str, *arguments: object) -> Forked:
    """A Python that runs `code` with `arguments` in ``sys.argv[1:]``."""
    warned = ("-W", "error::ResourceWarning")
    return Forked(
        [sys.executable, *warned, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(processes: Sequence[Forked], timeout: float = 120) -> list[str]:
    """What each of them printed. Fails, showing its errors, for one that failed."""
    printed = []
    for process in processes:
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == 0, err
        printed.append(out)
    return printed


def kill(process: Forked) -> None:
    """SIGKILL, and waits until it is gone."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


def wait_for(file: Path, process: Forked, timeout: float = 120) -> None:
    """Waits until `process` has made `file`."""
    until = time.monotonic() + timeout
    while not file.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, f"{file} did not appear"
        time.sleep(0.02)
