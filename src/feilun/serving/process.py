"""A server as a child of this process, for the time that golden requests take."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic
from typing import IO

from feilun import messages
from feilun.config import Settings
from feilun.errors import EnvironmentProblem

__all__ = ["temporary_server"]

READY_SECONDS = 120.0
STOP_SECONDS = 40.0
_SHOWN = 500


@contextmanager
def temporary_server(
    folder: Path, settings: Settings | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[str]:
    """Serves the workspace in `folder` on a free port while the context lasts; its base URL.

    `settings` are those of this process that a child has to share (database, artifacts). The child
    ends when this process does, however that happens. Raises `EnvironmentProblem` when it does not
    become ready.
    """
    command = [sys.executable, "-m", "feilun.api", str(folder), "--host", host, "--port", str(port)]
    environment = {**os.environ, "FEILUN_LANG": messages.language()}
    if settings is not None:
        shared = {"DATABASE": settings.database, "ARTIFACTS": settings.artifacts}
        environment |= {f"FEILUN_{name}": value for name, value in shared.items() if value}
    with TemporaryFile() as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for the parent, which stops the child in order
            env=environment,
        )
        try:
            yield _address(child, errors)
        finally:
            _stop(child)


def _address(child: subprocess.Popen[bytes], errors: IO[bytes]) -> str:
    assert child.stdout is not None
    until = monotonic() + READY_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        if not selector.select(max(0.0, until - monotonic())):
            raise EnvironmentProblem("serving.server_slow", seconds=READY_SECONDS)
    line = child.stdout.readline()
    try:
        address: str = json.loads(line)["address"]
    except (ValueError, KeyError, TypeError):
        code = child.wait(STOP_SECONDS)
        errors.seek(0)
        output = errors.read().decode("utf-8", "replace").strip()[-_SHOWN:]
        raise EnvironmentProblem("serving.server_died", exit_code=code, output=output) from None
    return address


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Closing its input asks it to stop; it is ended by force only when it does not."""
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
