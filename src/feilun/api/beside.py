"""What runs beside a server, in its loop: the watch over its connections, and the administration on
an address of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import uvicorn

from feilun.api.app import create_admin_app
from feilun.api.context import Api
from feilun.api.middleware import Middleware
from feilun.api.protocol import Protocol
from feilun.api.security import Security
from feilun.serving.ports import bind

__all__ = ["beside", "watching"]


class _Beside(uvicorn.Server):
    """A server that leaves the process's signals to the main one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def watching(server: uvicorn.Server) -> AsyncIterator[None]:
    """Cuts off the slow clients of `server`."""
    speaks = server.config.http
    assert isinstance(speaks, type)
    assert issubclass(speaks, Protocol)
    watch = asyncio.create_task(speaks.watch(server.server_state.connections), name="feilun-slow")
    try:
        yield
    finally:
        watch.cancel()


@contextlib.asynccontextmanager
async def beside(
    api: Api, security: Security, configure: Callable[[Middleware, Security], uvicorn.Config]
) -> AsyncIterator[None]:
    """Serves the administration at `security.admin_address`, where there is one.

    Raises `EnvironmentProblem` when its port is taken.
    """
    if security.admin_address is None:
        yield
        return
    sock = bind(*security.admin_address)
    server = _Beside(configure(create_admin_app(api), security))
    async with watching(server):
        task = asyncio.create_task(server.serve([sock]), name="feilun-admin")
        try:
            yield
        finally:
            server.should_exit = True
            await task
            sock.close()
