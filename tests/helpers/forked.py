"""Commands in processes of their own that need not import everything anew.

A server imports once what every command imports, and forks for each: a tenth of a second of a
processor where a new interpreter takes a whole one. The process is a real one, with its own
environment, folder, streams, signals and exit code. The commands themselves, whose words of help
are those of a language, are imported after the fork.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NoReturn

__all__ = ["run"]

# Without threads: a fork leaves them behind.
_LOADED = [
    "feilun.data.versions",
    "feilun.pipeline.runner",
    "feilun.project.project",
    "alembic",
    "dbos",
    "httpx",
    "numpy",
    "pyarrow.parquet",
    "pydantic",
    "rapidfuzz",
    "rich.console",
    "scipy.sparse",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.orm",
    "tomlkit",
    "torch",  # three seconds of a processor, for each command that compresses a network
    "transformers.modeling_utils",
    "typer",
]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_LOADED)


def run(
    words: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """``feilun WORDS`` to its end. Raises `subprocess.TimeoutExpired`, and ends it."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process: ForkServerProcess = _context.Process(
            target=_command, args=(list(words), str(cwd), dict(env), str(out), str(err))
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(words), timeout)
        said = [file.read_text("utf-8", "replace") for file in (out, err)]
        return subprocess.CompletedProcess(list(words), process.exitcode, *said)


def _command(words: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> NoReturn:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, (name, how) in enumerate([(os.devnull, os.O_RDONLY), (out, flags), (err, flags)]):
        os.dup2(os.open(name, how, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, m) for n, m in ((0, "r"), (1, "w"), (2, "w")))
    sys.argv = ["feilun", *words]
    from feilun.cli import main

    main()
    raise SystemExit(0)
