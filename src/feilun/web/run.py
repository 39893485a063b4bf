"""Serves the console, and beside it what it needs: the API, and a worker for what is queued."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from feilun import messages
from feilun.errors import FeilunError
from feilun.project import Workspace
from feilun.serving.ports import bind, url_of
from feilun.web.access import Access

__all__ = ["run"]

_POLL = 1.0  # seconds between looks at the queue


def run(
    workspace: Workspace,
    *,
    host: str = "127.0.0.1",
    port: int = 8100,
    api_port: int | None = 8000,
    hosts: Sequence[str] = (),
    on_ready: Callable[[str, Access], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serves the console of `workspace` until SIGINT, SIGTERM or `stop`.

    Queued turns are executed one after the other by children of this process. While no server of
    the workspace answers, one is started on `api_port` (a free one where that is taken; None: none
    is started) and ends with the console. `on_ready` hears the address once pages are answered.
    Raises `EnvironmentProblem` when `port` is taken.
    """
    import uvicorn

    from feilun.web.app import create_console

    stop = stop or threading.Event()
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(contextlib.closing(bind(host, port)))
        address = url_of(host, sock.getsockname()[1])
        access = Access(workspace.store.folder)
        app = create_console(workspace, access, hosts=[host, *hosts])
        config = uvicorn.Config(
            app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2
        )
        server = _quiet(uvicorn.Server)(config)
        stack.enter_context(_worker(workspace, stop))
        if api_port is not None and not workspace.store.catalog.servers():
            stack.enter_context(_api(workspace, host, api_port))

        def watch() -> None:
            while not server.started and not server.should_exit:
                time.sleep(0.02)
            if on_ready is not None and server.started:
                on_ready(address, access)
            stop.wait()
            server.should_exit = True

        threading.Thread(target=watch, daemon=True).start()
        try:
            server.run(sockets=[sock])
        finally:
            stop.set()


def _quiet(server: type[Any]) -> type[Any]:
    """uvicorn's `server`, which ends by a signal without sending it to itself again: the API that
    was started here has to be ended first."""

    class Quiet(server):  # type: ignore[misc]
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            numbers = (signal.SIGINT, signal.SIGTERM)
            before = {number: signal.signal(number, self.handle_exit) for number in numbers}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    return Quiet


@contextlib.contextmanager
def _worker(workspace: Workspace, stop: threading.Event) -> Iterator[None]:
    """Executes what is queued in this workspace, in a thread whose children do the work."""
    lang = messages.language()

    def work() -> None:
        messages.use(lang, here_only=True)
        while not stop.wait(_POLL):
            # What a turn failed with stands in the catalog, where the screens read it.
            with contextlib.suppress(FeilunError):
                workspace.work(once=True, say=lambda _: None)

    thread = threading.Thread(target=work, name="console-worker", daemon=True)
    thread.start()
    yield


@contextlib.contextmanager
def _api(workspace: Workspace, host: str, port: int) -> Iterator[None]:
    """A server of the API as a child."""
    try:
        bind(host, port).close()
    except FeilunError:
        port = 0
    words = [sys.executable, "-m", "feilun", "serve", "--host", host, "--port", str(port)]
    words += ["--workspace", str(workspace.folder)]
    log = (workspace.store.folder / "console-api.log").open("ab")
    child = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, "FEILUN_LANG": messages.language()},
        start_new_session=True,
    )
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
        log.close()
