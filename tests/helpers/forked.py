"""Processes of feilun that need not import everything anew.

A server imports once what they all import, and forks for each: a tenth of a second of a processor
where a new interpreter takes from one to five. Each is a real process, with its own environment,
folder, streams, session, signals and exit code, be it a command, a module, a script or ``-c``.

In place of an interpreter this file is a worker of pytest-xdist: ``--tx popen//python=forked.py``
behind the interpreter's name. What a worker imports while it collects tests is there then.

`use` lets what this process starts through modules of feilun come from the server, too, and so it
is in the processes that the server forks. The server that ``feilun serve`` keeps is forked by it
alone: its child, with the descriptors that it passes on.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

__all__ = ["Forked", "popen", "python", "run", "start_server", "use"]

_AT = "TESTS_FORK_SERVER"
"""The variable of the environment that names the server's socket."""
_MAINS = {
    "feilun": "feilun.cli",
    "feilun.api": "feilun.api.__main__",
    "feilun.engines._generator": "feilun.engines._generator",
    "feilun.project.queued": "feilun.project.queued",
    "feilun.training.base_scores": "feilun.training.base_scores",
    "feilun.training.child": "feilun.training.child",
}
_STARTERS = (
    "feilun.engines._generator",
    "feilun.project.worker",
    "feilun.serving.process",
    "feilun.serving.supervisor",
    "feilun.training.base_scores",
    "feilun.training.child",
    "feilun.web.run",
)
"""The modules of feilun whose children are forked."""
_forked = False
"""Whether this process is a command that the server forked."""
# Besides all of feilun. Without threads: a fork leaves them behind.
_LOADED = [
    "PIL.Image",
    "alembic.command",
    "argon2",
    "dbos",
    "httpx",
    "hypothesis",
    "jinja2",
    "lightgbm",
    "nncf",
    "openai",
    "openpyxl",
    "openvino",
    "openvino_genai",
    "peft",
    "playwright.sync_api",
    "prometheus_client",
    "psycopg",
    "pyarrow.parquet",
    "pypdf",
    "pytest",
    "rapidfuzz",
    "rich.console",
    "rjieba",
    "scipy.sparse",
    "scipy.stats",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "tomlkit",
    "torch",
    "transformers.modeling_utils",
    "transformers.models.bert.modeling_bert",
    "transformers.trainer",
    "typer",
    "uvicorn",
]


class Forked:
    """What `subprocess.Popen` is to its caller: ``pid``, the pipes, `poll`, `wait`, `kill`."""

    def __init__(
        self,
        args: Sequence[str],
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        text: bool = False,
        encoding: str | None = None,
        start_new_session: bool = False,
    ) -> None:
        self.args = list(args)
        self.returncode: int | None = None
        theirs, ours = [], []
        for number, asked in enumerate((stdin, stdout, stderr)):
            reads = number == 0
            if asked == subprocess.PIPE:
                ends = os.pipe()
                theirs.append(ends[0] if reads else ends[1])
                ours.append(_opened(ends[1] if reads else ends[0], not reads, text, encoding))
            elif asked == subprocess.STDOUT:
                theirs.append(os.dup(theirs[1]))
                ours.append(None)
            elif asked == subprocess.DEVNULL:
                theirs.append(os.open(os.devnull, os.O_RDWR))
                ours.append(None)
            else:
                theirs.append(os.dup(number if asked is None else _number(asked)))
                ours.append(None)
        self.stdin, self.stdout, self.stderr = ours
        request = {
            "args": self.args[1:],  # behind: python
            "cwd": str(cwd or Path.cwd()),
            "env": {**(os.environ if env is None else env), _AT: _address()},
            "session": start_new_session,
        }
        self._line = _connected(_address())
        body = json.dumps(request).encode()
        socket.send_fds(self._line, [len(body).to_bytes(8, "big")], theirs)
        self._line.sendall(body)
        for end in theirs:
            os.close(end)
        self._said = self._line.makefile("r")
        self._listening = threading.Lock()
        self.pid = int(self._said.readline())

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one. Raises `subprocess.TimeoutExpired`."""
        # One thread listens; who waits besides waits for it.
        if not self._listening.acquire(timeout=-1 if timeout is None else timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        try:
            if self.returncode is None:
                with selectors.DefaultSelector() as selector:
                    selector.register(self._line, selectors.EVENT_READ)
                    if not selector.select(timeout):
                        raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
                self.returncode = int(self._said.readline())
                self._said.close()
                self._line.close()
        finally:
            self._listening.release()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM, if it still runs."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[Any, Any]:
        """What it wrote to stdout and to stderr until it ended; None for what is no pipe, or
        closed."""
        if self.stdin is not None:
            self.stdin.close()
        with ThreadPoolExecutor(2) as pool:
            ends = (None if end is None or end.closed else end for end in self._outs())
            reads = [None if end is None else pool.submit(_rest, end) for end in ends]
            self.wait(timeout)
        out, err = (None if read is None else read.result() for read in reads)
        return out, err

    def _outs(self) -> tuple[IO[Any] | None, IO[Any] | None]:
        return self.stdout, self.stderr

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self.stdin, *self._outs()):
            if end is not None:
                end.close()
        self.wait()


def _rest(end: IO[Any]) -> Any:
    with end:
        return end.read()


class Child:
    """What this process, forked itself, forks: its child, with its descriptors. To be made where
    no other thread holds what the child wants."""

    def __init__(
        self, args: Sequence[str], env: Mapping[str, str] | None, start_new_session: bool
    ) -> None:
        self.returncode: int | None = None
        request = {
            "args": list(args[1:]),
            "cwd": str(Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "session": start_new_session,
        }
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self.pid = os.fork()
        if not self.pid:
            _live(request)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            number, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if number else None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM, if it still runs."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        self.send_signal(signal.SIGKILL)


def popen(args: Sequence[str], **more: Any) -> Forked | Child | subprocess.Popen[Any]:
    """`subprocess.Popen`, forked where the module is known."""
    if list(args[:2]) == [sys.executable, "-m"] and args[2] in _MAINS:
        if "pass_fds" not in more:
            return Forked(args, **more)
        if _forked:
            return Child(args, more["env"], more["start_new_session"])
    return subprocess.Popen(args, **more)


def _run(
    args: Sequence[str], *, check: bool = False, **more: Any
) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run`, forked where the module is known."""
    if more.pop("capture_output", False):
        more |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with popen(args, **more) as process:
        done = subprocess.CompletedProcess(args, 0, *process.communicate())
        done.returncode = process.wait()
    if check:
        done.check_returncode()
    return done


class _Subprocess:
    """The module ``subprocess`` for those whose children are forked."""

    Popen = staticmethod(popen)
    run = staticmethod(_run)

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


def use() -> None:
    """What the modules of feilun start is forked from here on."""
    for name in _STARTERS:
        module: Any = importlib.import_module(name)
        module.subprocess = _Subprocess()


def run(
    words: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """``feilun WORDS`` to its end. Raises `subprocess.TimeoutExpired`, and ends it."""
    return python("-m", "feilun", *words, cwd=cwd, env=env, timeout=timeout)


def python(
    *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """``python WORDS`` to its end, and what it said. Raises `subprocess.TimeoutExpired`, and ends
    it."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        with out.open("wb") as said, err.open("wb") as wrong:
            process = Forked(
                [sys.executable, *words],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=wrong,
            )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        texts = [file.read_text("utf-8", "replace") for file in (out, err)]
        return subprocess.CompletedProcess(list(words), code, *texts)


def _opened(end: int, reads: bool, text: bool, encoding: str | None) -> IO[Any]:
    raw = open(end, "rb" if reads else "wb", buffering=-1 if reads or text else 0)  # noqa: SIM115
    return io.TextIOWrapper(raw, encoding or "utf-8", write_through=True) if text else raw


def _number(asked: Any) -> int:
    return asked if isinstance(asked, int) else int(asked.fileno())


_lock = threading.Lock()
_own: list[str] = []


def _address() -> str:
    """The socket of the server, which is started with the first process if it was not before."""
    with _lock:
        return os.environ.get(_AT) or (_own[0] if _own else _started({}))


def start_server(**env: str) -> None:
    """Lets this process and all that it starts from here on have one server, with `env` besides;
    does not wait for it."""
    with _lock:
        os.environ[_AT] = _started(env)


def _started(env: Mapping[str, str]) -> str:
    folder = tempfile.mkdtemp(prefix="feilun-fork-")
    address = f"{folder}/server"
    # It ends when this process does: its input closes.
    server = subprocess.Popen(
        [sys.executable, __file__, address],
        stdin=subprocess.PIPE,
        env={**os.environ, **env, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )
    _own.append(address)
    atexit.register(_end, server, folder)
    return address


def _connected(address: str) -> socket.socket:
    """A line to the server, once it has loaded what there is to load."""
    until = time.monotonic() + 300
    while not Path(address).exists():
        if not Path(address).parent.exists() or time.monotonic() > until:
            raise RuntimeError("the server that forks did not start")
        time.sleep(0.02)
    line = socket.socket(socket.AF_UNIX)
    line.connect(address)
    return line


def _end(server: subprocess.Popen[bytes], folder: str) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait()
    with suppress(OSError):
        Path(folder, "server").unlink()
        Path(folder).rmdir()


def _serve(address: str) -> None:
    """Answers each connection with the process's number and, when it ended, with its exit code."""
    _load()
    # What was loaded is never garbage: without this each process looks through all of torch's
    # objects again and again, and copies the pages that they lie on.
    gc.collect()
    gc.freeze()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address + ".new")
    listening.listen(64)
    Path(address + ".new").rename(address)
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    signal.set_wakeup_fd(writes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for source in (listening, reads, sys.stdin.fileno()):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == sys.stdin.fileno():
                    return
                if key.fd == reads:
                    os.read(reads, 512)
                    _reap(running)
                else:
                    line, _ = listening.accept()
                    number = _fork(line, [listening.fileno(), reads, writes])
                    running[number] = line


def _load() -> None:
    import feilun
    from feilun import messages
    from feilun.engines.openvino import openvino

    openvino()  # first: imported before, it would report what it does, in a process each time
    for name in _LOADED:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(feilun.__path__, "feilun."):
        if module.name != "feilun.__main__" and ".migrations" not in module.name:
            importlib.import_module(module.name)
    messages.keys()  # and with them every room is read
    _warm(Path(feilun.__file__).parent)


def _warm(root: Path) -> None:
    """Makes what each process would make anew: tables of characters, the code of templates, and
    what scikit-learn looks up."""
    from sklearn.utils import check_array
    from threadpoolctl import get_cached_controller

    from feilun.api import pages
    from feilun.billing import invoice_page
    from feilun.data.audit import scripts
    from feilun.modalities.text import ngrams, noise
    from feilun.render.page import template
    from feilun.web import view

    for table in (ngrams._powers, ngrams._table, noise._homophones, noise._marks, scripts._table):
        table()
    environments = [view._environment(), pages._templates(), invoice_page._template().environment]
    for file in root.rglob("templates/*.html"):
        package = ".".join(("feilun", *file.parent.parent.relative_to(root).parts))
        environments.append(template(file.name, package).environment)
    for environment in environments:
        for name in environment.list_templates(extensions=["html"]):
            environment.get_template(name)
    check_array([[0.0]])  # looks for plug-ins
    get_cached_controller()


def _reap(running: dict[int, socket.socket]) -> None:
    while running:
        number, status = os.waitpid(-1, os.WNOHANG)
        if not number:
            return
        with suppress(OSError):  # who asked is gone
            running[number].sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        running.pop(number).close()


def _fork(line: socket.socket, mine: Sequence[int]) -> int:
    size, streams, _, _ = socket.recv_fds(line, 8, 3)
    body = b""
    while len(body) < int.from_bytes(size, "big"):
        body += line.recv(65536)
    number = os.fork()
    if not number:
        for wanted, stream in enumerate(streams):
            os.dup2(stream, wanted)
        for end in (*mine, *streams, line.fileno()):
            os.close(end)
        _live(json.loads(body))
    line.sendall(f"{number}\n".encode())
    for stream in streams:
        os.close(stream)
    return number


def _live(request: Mapping[str, Any]) -> NoReturn:
    """What a forked process does until it ends."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = _become(request)
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else int(done.code is not None)
    except BaseException as error:  # noqa: BLE001 (whatever it is, the process ends with it)
        traceback.print_exc()
        if isinstance(error, KeyboardInterrupt):  # as an interpreter ends
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    threading._shutdown()  # type: ignore[attr-defined]
    os._exit(code)


def _become(request: Mapping[str, Any]) -> int:
    global _forked
    words = list(request["args"])
    _forked = words[:2] == ["-m", "feilun"]
    if request["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    # As an interpreter opens them.
    by_line = 1 if os.environ.get("PYTHONUNBUFFERED") else -1
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, how, buffering, encoding="utf-8", closefd=False)
        for number, (how, buffering) in enumerate((("r", -1), ("w", by_line), ("w", 1)))
    )
    for folder in reversed(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if folder and folder not in sys.path:
            sys.path.insert(0, folder)
    importlib.invalidate_caches()
    use()
    while words[0] in ("-W", "-X", "-u"):
        if words[0] == "-W":
            warnings._processoptions([words[1]])  # type: ignore[attr-defined]
        del words[: 1 if words[0] == "-u" else 2]
    if words[0] == "-m" and words[1] in _MAINS:
        sys.argv = words[1:]
        found: int | None = importlib.import_module(_MAINS[words[1]]).main()
        return found or 0
    if words[0] == "-m":
        # What is loaded can no longer be rewritten, of which pytest warns.
        sys.argv = [*words[1:], *(["--assert=plain"] if words[1] == "pytest" else [])]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        sys.path.insert(0, "")
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), main.__dict__)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from helpers import forked  # what it forks finds one module, this one

    if len(sys.argv) == 2:
        forked._serve(sys.argv[1])
    else:
        worker = forked.Forked([sys.executable, *sys.argv[1:]])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when its input does
        sys.exit(worker.wait())
