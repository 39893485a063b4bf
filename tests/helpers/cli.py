"""Runs the real command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers import forked

__all__ = ["command", "environment", "feilun", "feilun_json"]


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
