"""Other servers with the float model of the same weights, each in a virtual environment of its own.

What a peer needs stands at the head of its file (PEP 723); uv installs it, with pip's settings
handed on as `scripts/setup.py` does. A peer that cannot be installed or does not start is left out,
and the page says so. Of a few settings the one with most calls a second is kept.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from benchmarks.serving.driving import Target, measured
from benchmarks.serving.servers import free_port

__all__ = ["PEERS", "DidNotStart", "Peer", "install", "running", "shown", "tuned"]

HERE = Path(__file__).parents[1] / "peers"
TUNING = 64
"""Clients that settings are compared with."""

Setting = dict[str, int]


@dataclass
class Peer:
    """One file of `benchmarks/peers`; `settings` are tried, the first is the plainest."""

    name: str
    title: str
    settings: Sequence[Setting]
    batched: bool = False
    python: Path | None = None
    best: Setting = field(default_factory=dict)
    out: str = ""
    """Why it is left out; empty where it is not."""

    @property
    def lists(self) -> bool:
        """Whether a body carries a list of one text: BentoML batches lists."""
        return self.name == "bentoml_torch" and self.best.get("BATCH", 1) > 1


def _grid(batches: Sequence[int]) -> list[Setting]:
    cores = os.cpu_count() or 1
    shapes = [(1, cores), (1, 1), (cores, 1)]
    return [{"WORKERS": w, "THREADS": t, "BATCH": b} for b in batches for w, t in shapes]


PEERS = (
    Peer("flask_torch", "Flask + torch", _grid([1])),
    Peer("fastapi_torch", "FastAPI + torch", _grid([1])),
    Peer("bentoml_torch", "BentoML", _grid([1, 32])),
    Peer("litserve_torch", "LitServe", _grid([1, 32])),
    Peer("ray_torch", "Ray Serve", _grid([1, 32])),
)


def install(peer: Peer) -> None:
    """Makes the peer's environment, where it is not there yet, and notes its Python or `out`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "feilun-benchmarks" / peer.name
    python = folder / "bin" / "python"
    file = HERE / f"{peer.name}.py"
    uv: list[str | Path] = [sys.executable, "-m", "uv"]
    if not python.exists():
        subprocess.run([*uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    # Compiled now: torch has thousands of files, and a server may not be allowed to keep its own.
    words = [*uv, "pip", "install", "-q", "--compile-bytecode", "--python", python, "-r", file]
    done = subprocess.run(words, env=_environment(), capture_output=True, text=True)
    if done.returncode:
        peer.out = f"could not be installed: {_last(done.stderr)}"
    else:
        peer.python = python


def tuned(peer: Peer, model: Path, seconds: float, bodies: tuple[Path, Path]) -> None:
    """Tries the peer's settings and notes the `best`, or why it is left `out`. `bodies` are files
    of single texts and of lists of one."""
    found: list[tuple[float, Setting]] = []
    why = ""
    for setting in peer.settings:
        peer.best = setting
        try:
            with running(peer, model) as target:
                result = measured(target, TUNING, seconds, bodies[peer.lists])
        except DidNotStart as error:
            why = str(error)
            continue
        found.append((result["per_second"] if not result["failed"] else 0.0, setting))
    if not found:
        peer.out = why
        return
    peer.best = max(found, key=lambda one: one[0])[1]


class DidNotStart(Exception):
    """A peer's server that ended, or never answered."""


@contextmanager
def running(peer: Peer, model: Path) -> Iterator[Target]:
    """The peer with its best setting. Raises `DidNotStart`."""
    port = free_port()
    settings = {name: str(value) for name, value in peer.best.items()}
    environment = os.environ | settings | {"MODEL": str(model), "PORT": str(port)}
    environment |= {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "True", "HF_HUB_OFFLINE": "1"}
    environment |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": ""}
    assert peer.python is not None
    child = subprocess.Popen(
        [peer.python, HERE / f"{peer.name}.py"],
        cwd=HERE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    process = psutil.Process(child.pid)
    try:
        _wait(peer, child, f"http://127.0.0.1:{port}")
        yield Target(process, f"http://127.0.0.1:{port}")
    finally:
        family = [*process.children(recursive=True), process] if child.poll() is None else []
        child.terminate()
        _, alive = psutil.wait_procs(family, timeout=20)
        for one in alive:
            one.kill()
        child.wait()


def _wait(peer: Peer, child: subprocess.Popen[bytes], address: str) -> None:
    body = {"inputs": ["x"] if peer.lists else "x"}
    until = time.monotonic() + 300
    while time.monotonic() < until:
        if child.poll() is not None:
            break
        try:
            said = httpx.post(f"{address}/v1/predict", json=body, trust_env=False, timeout=30)
            if said.is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise DidNotStart(f"did not answer with {shown(peer.best)}")


def shown(setting: Setting) -> str:
    """A setting as people read it."""
    return ", ".join(f"{name.lower()} {value}" for name, value in setting.items())


def _environment() -> dict[str, str]:
    """uv's, with pip's settings handed on as the set-up does."""
    file = Path(__file__).parents[2] / "scripts" / "setup.py"
    spec = importlib.util.spec_from_file_location("feilun_setup", file)
    assert spec is not None
    assert spec.loader is not None
    setup: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    pip = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = setup.uv_environment(setup.pip_settings(listing), dict(os.environ))
    torch = setup.torch_build(found)
    found.pop("UV_TORCH_BACKEND", None)
    return found | ({"UV_TORCH_BACKEND": torch} if torch else {})


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1].strip()
