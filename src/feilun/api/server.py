"""Runs the app: the port first, then the models, then calls, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from feilun.api.app import create_app
from feilun.api.protocol import Protocol
from feilun.config import Settings, load_settings
from feilun.serving.ports import bind, url_of
from feilun.serving.service import Service
from feilun.store import open_store

__all__ = ["Running", "run"]

GRACE = 30
"""Seconds that calls in flight have to end when the server stops."""


class Running:
    """A server that answers: its base URL, and how to stop it from another thread."""

    def __init__(self, server: uvicorn.Server, address: str) -> None:
        self._server = server
        self.address = address

    def stop(self) -> None:
        """Takes no more calls; `run` returns when those in flight have ended."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn, but a signal ends `serve` normally, so that what was begun can be finished."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run(
    folder: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    settings: Settings | None = None,
    on_ready: Callable[[Running], None] | None = None,
    streams: int | None = None,
    threads: int | None = None,
) -> None:
    """Serves the workspace in `folder` until SIGINT, SIGTERM or `Running.stop`.

    `port` 0 takes a free one; `on_ready` is called when calls are answered. `streams` and `threads`
    are the engines' (default: their own choice for this machine). Raises `EnvironmentProblem` when
    the port is taken, before anything is loaded, and when the workspace cannot be read.
    """
    sock = bind(host, port)
    try:
        port = sock.getsockname()[1]
        settings = settings or load_settings()
        store = open_store(Path(folder), settings.database, settings.artifacts)
        service = Service(store, streams=streams, threads=threads)
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(_serve(service, sock, host, port, on_ready))
    finally:
        sock.close()


async def _serve(
    service: Service,
    sock: socket.socket,
    host: str,
    port: int,
    on_ready: Callable[[Running], None] | None,
) -> None:
    address = url_of(host, port)
    app = create_app(service)
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE,
    )

    def ready() -> None:
        if on_ready is not None:
            on_ready(Running(server, address))

    server = _Server(config, ready)
    async with app.api.running():
        await service.register(host, port, address)
        await server.serve([sock])


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()
