"""Runs the app: the port first, then the models, then calls, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING

import uvicorn

from feilun.api.app import create_app
from feilun.api.beside import beside, watching
from feilun.api.middleware import Middleware
from feilun.api.protocol import protocol
from feilun.api.security import Security, allow_connections
from feilun.serving.admission import Gate
from feilun.serving.ports import bind, url_of
from feilun.serving.service import Service
from feilun.serving.sizes import parse_size
from feilun.serving.supervisor import BEAT_SECONDS, Link
from feilun.store.store import Store

if TYPE_CHECKING:
    from feilun.project import Workspace

__all__ = ["run"]

GRACE = 30
"""Seconds that calls in flight have to end when the server stops."""
_TICK = 0.02
_LAST = 2  # seconds for those that did not end in time, before they are cancelled


class _Server(uvicorn.Server):
    """uvicorn, but a signal ends `serve` normally, so that what was begun can be finished."""

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        stop: threading.Event | None,
        gate: Gate,
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._stop = stop
        self._gate = gate

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        stop = self._stop is not None and self._stop.is_set()
        return await super().on_tick(counter) or stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Calls in flight end, and new ones are told to go elsewhere, before the port is closed."""
        self._gate.draining = True
        until = monotonic() + GRACE
        while self._gate.inside and monotonic() < until and not self.force_exit:
            await asyncio.sleep(_TICK)
        await super().shutdown(sockets)

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
    memory: int | None = None,
    link: Link | None = None,
) -> None:
    """Serves `workspace` until SIGINT, SIGTERM or `stop`; calls in flight are finished first.

    `port` 0 takes a free one; `on_ready` is called with the base URL once calls are answered.
    `streams` and `threads` are the engines' (default: their own choice for this machine);
    `security` is what keeps it from strangers; `memory` are the bytes that models may take
    together (default: what ``FEILUN_MEMORY`` says, else no bound). With the `link` of a supervisor
    its socket is served instead of `host` and `port`. Raises `EnvironmentProblem` when the port is
    taken, before anything is loaded, and when the databases cannot be read.
    """
    sock = link.listening if link else bind(host, port)
    try:
        secure = security is not None and security.tls is not None
        address = url_of(host, sock.getsockname()[1], tls=secure)
        store = workspace if isinstance(workspace, Store) else workspace.store
        if memory is None and not isinstance(workspace, Store) and workspace.settings.memory:
            memory = parse_size(workspace.settings.memory)
        service = Service(store, streams=streams, threads=threads, memory=memory)

        def ready() -> None:
            if link is not None:
                link.ready()
            if on_ready is not None:
                on_ready(address)

        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(
                _serve(service, sock, host, address, ready, stop, security or Security(), link)
            )
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
    link: Link | None,
) -> None:
    app = create_app(service, security)
    config = _config(app, security)
    async with app.api.running(), beside(app.api, security, _config):
        await service.register(host, sock.getsockname()[1], address)
        server = _Server(config, ready, stop, service.models.gate)
        async with watching(server):
            beat = None if link is None else asyncio.create_task(_beat(link))
            try:
                await server.serve([sock])
            finally:
                if beat is not None:
                    beat.cancel()


def _config(app: Middleware, security: Security) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol(allow_connections(security.limits), security.proxies),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_LAST,
        ssl_certfile=security.tls[0] if security.tls else None,
        ssl_keyfile=security.tls[1] if security.tls else None,
    )


async def _beat(link: Link) -> None:
    """The supervisor hears that the event loop turns."""
    while True:
        link.beat()
        await asyncio.sleep(BEAT_SECONDS)


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()
