"""Load on a server from another process of the same machine, and the processor time it cost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["DRIVER", "Target", "drive", "drive_beside", "measured"]

HERE = Path(__file__).parents[1]
DRIVER = "wrk" if shutil.which("wrk") else "benchmarks/load.py"


@dataclass(frozen=True, slots=True)
class Target:
    """A server: its process (children count as its own), its address, a key or none."""

    process: psutil.Process
    address: str
    key: str = ""


def measured(
    target: Target,
    clients: int,
    seconds: float,
    bodies: Path,
    warm: float = 1.0,
    *,
    whole: bool = False,
) -> dict[str, float]:
    """So many connections for so many seconds, each sending its next call after its answer; after
    `warm` seconds that do not count. `whole`: until the last call is answered, and counted; for
    calls of which few fit into the seconds."""
    if warm:
        drive(target, clients, warm, bodies)
    before = _busy(target.process)
    result = drive(target, clients, seconds, bodies, whole=whole)
    cpu = _busy(target.process) - before
    return {**result, "cpu_us": cpu / max(1.0, result["calls"]) * 1e6}


def drive(
    target: Target, clients: int, seconds: float, bodies: Path, *, whole: bool = False
) -> dict[str, float]:
    """One run of the driver: calls, failed ones, calls a second, p50 and p99."""
    done = _start(target, clients, seconds, bodies, whole).communicate()
    return _read(done)


@contextlib.contextmanager
def drive_beside(
    target: Target, clients: int, seconds: float, bodies: Path
) -> Iterator[list[dict[str, float]]]:
    """Load in the background; afterwards its result is in the list that is given."""
    process = _start(target, clients, seconds, bodies)
    found: list[dict[str, float]] = []
    try:
        yield found
    finally:
        found.append(_read(process.communicate()))


def _start(
    target: Target, clients: int, seconds: float, bodies: Path, whole: bool = False
) -> subprocess.Popen[str]:
    environment = os.environ | {"KEY": target.key, "TEXTS": str(bodies)}
    if DRIVER == "wrk" and not whole:
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s"]
        command += ["--timeout", "30s", "-s", str(HERE / "load.lua"), target.address]
    else:
        command = [sys.executable, str(HERE / "load.py")]
        command += [target.address, str(clients), str(seconds)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def _read(done: tuple[str, str]) -> dict[str, float]:
    out, errors = done
    if not out.strip():
        raise SystemExit(f"{DRIVER}: {errors.strip()[-500:]}")
    result: dict[str, float] = json.loads(out.splitlines()[-1])
    return result


def _busy(process: psutil.Process) -> float:
    """Seconds of processor time of a process and its children."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total
