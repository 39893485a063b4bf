"""Runs the app: the port first, then the models, then calls, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import uvicorn

from feilun.api.app import create_app
from feilun.api.protocol import protocol
from feilun.api.security import Security, allow_connections
from feilun.serving.ports import bind, url_of
from feilun.serving.service import Service
from feilun.store.store import Store

if TYPE_CHECKING:
    from feilun.project import Workspace

__all__ = ["run"]

GRACE = 30
"""Seconds that calls in flight have to end when the server stops."""


class _Server(uvicorn.Server):
    """uvicorn, but a signal ends `serve` normally, so that what was begun can be finished."""

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        stop: threading.Event | None,
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        stop = self._stop is not None and self._stop.is_set()
        return await super().on_tick(counter) or stop

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
    workspace: Workspace | Store,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    on_ready: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
    streams: int | None = None,
    threads: int | None = None,
    security: Security | None = None,
) -> None:
    """Serves `workspace` until SIGINT, SIGTERM or `stop`; calls in flight are finished first.

    `port` 0 takes a free one; `on_ready` is called with the base URL once calls are answered.
    `streams` and `threads` are the engines' (default: their own choice for this machine);
    `security` is what keeps it from strangers. Raises
    `EnvironmentProblem` when the port is taken, before anything is loaded, and when the databases
    cannot be read.
    """
    sock = bind(host, port)
    try:
        address = url_of(host, sock.getsockname()[1])
        store = workspace if isinstance(workspace, Store) else workspace.store
        service = Service(store, streams=streams, threads=threads)

        def ready() -> None:
            if on_ready is not None:
                on_ready(address)

        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(_serve(service, sock, host, address, ready, stop, security or Security()))
    finally:
        sock.close()


async def _serve(
    service: Service,
    sock: socket.socket,
    host: str,
    address: str,
    ready: Callable[[], None],
    stop: threading.Event | None,
    security: Security,
) -> None:
    app = create_app(service, security)
    speaks = protocol(allow_connections(security.limits), security.proxies)
    config = uvicorn.Config(
        app,
        http=speaks,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE,
        ssl_certfile=security.tls[0] if security.tls else None,
        ssl_keyfile=security.tls[1] if security.tls else None,
    )
    async with app.api.running():
        await service.register(host, sock.getsockname()[1], address)
        server = _Server(config, ready, stop)
        watch = asyncio.create_task(speaks.watch(server.server_state.connections))
        try:
            await server.serve([sock])
        finally:
            watch.cancel()


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()
